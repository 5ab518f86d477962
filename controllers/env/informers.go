package env

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/kit"
)

func core(resource string) schema.GroupVersionResource {
	return corev1.SchemeGroupVersion.WithResource(resource)
}

func apps(resource string) schema.GroupVersionResource {
	return appsv1.SchemeGroupVersion.WithResource(resource)
}

// Pods are indexed by their controller.
func (e *Env) Pods() *kit.Informer[*corev1.Pod] {
	i := kit.InformerFor[*corev1.Pod](e.Informers, core("pods"))
	kit.IndexByController(i)
	return i
}

// PodsByNode is the index of pods by spec.nodeName, "" for those without a node.
const PodsByNode = "spec.nodeName"

// PodsOnNodes is Pods with the index PodsByNode.
func (e *Env) PodsOnNodes() *kit.Informer[*corev1.Pod] {
	i := e.Pods()
	i.AddIndex(PodsByNode, func(p *corev1.Pod) []string { return []string{p.Spec.NodeName} })
	return i
}

// Nodes of the cluster.
func (e *Env) Nodes() *kit.Informer[*corev1.Node] {
	return kit.InformerFor[*corev1.Node](e.Informers, core("nodes"))
}

// Services of the cluster.
func (e *Env) Services() *kit.Informer[*corev1.Service] {
	return kit.InformerFor[*corev1.Service](e.Informers, core("services"))
}

// Namespaces of the cluster.
func (e *Env) Namespaces() *kit.Informer[*corev1.Namespace] {
	return kit.InformerFor[*corev1.Namespace](e.Informers, core("namespaces"))
}

// ServiceAccounts of the cluster.
func (e *Env) ServiceAccounts() *kit.Informer[*corev1.ServiceAccount] {
	return kit.InformerFor[*corev1.ServiceAccount](e.Informers, core("serviceaccounts"))
}

// Endpoints of the cluster.
func (e *Env) Endpoints() *kit.Informer[*corev1.Endpoints] {
	return kit.InformerFor[*corev1.Endpoints](e.Informers, core("endpoints"))
}

// ReplicationControllers of the cluster.
func (e *Env) ReplicationControllers() *kit.Informer[*corev1.ReplicationController] {
	return kit.InformerFor[*corev1.ReplicationController](e.Informers, core("replicationcontrollers"))
}

// PersistentVolumeClaims of the cluster.
func (e *Env) PersistentVolumeClaims() *kit.Informer[*corev1.PersistentVolumeClaim] {
	return kit.InformerFor[*corev1.PersistentVolumeClaim](e.Informers, core("persistentvolumeclaims"))
}

// PersistentVolumes of the cluster.
func (e *Env) PersistentVolumes() *kit.Informer[*corev1.PersistentVolume] {
	return kit.InformerFor[*corev1.PersistentVolume](e.Informers, core("persistentvolumes"))
}

// ResourceQuotas of the cluster.
func (e *Env) ResourceQuotas() *kit.Informer[*corev1.ResourceQuota] {
	return kit.InformerFor[*corev1.ResourceQuota](e.Informers, core("resourcequotas"))
}

// ReplicaSets are indexed by their controller.
func (e *Env) ReplicaSets() *kit.Informer[*appsv1.ReplicaSet] {
	i := kit.InformerFor[*appsv1.ReplicaSet](e.Informers, apps("replicasets"))
	kit.IndexByController(i)
	return i
}

// Deployments of the cluster.
func (e *Env) Deployments() *kit.Informer[*appsv1.Deployment] {
	return kit.InformerFor[*appsv1.Deployment](e.Informers, apps("deployments"))
}

// DaemonSets of the cluster.
func (e *Env) DaemonSets() *kit.Informer[*appsv1.DaemonSet] {
	return kit.InformerFor[*appsv1.DaemonSet](e.Informers, apps("daemonsets"))
}

// StatefulSets of the cluster.
func (e *Env) StatefulSets() *kit.Informer[*appsv1.StatefulSet] {
	return kit.InformerFor[*appsv1.StatefulSet](e.Informers, apps("statefulsets"))
}

// ControllerRevisions are indexed by their controller.
func (e *Env) ControllerRevisions() *kit.Informer[*appsv1.ControllerRevision] {
	i := kit.InformerFor[*appsv1.ControllerRevision](e.Informers, apps("controllerrevisions"))
	kit.IndexByController(i)
	return i
}

// Jobs are indexed by their controller.
func (e *Env) Jobs() *kit.Informer[*batchv1.Job] {
	i := kit.InformerFor[*batchv1.Job](e.Informers, batchv1.SchemeGroupVersion.WithResource("jobs"))
	kit.IndexByController(i)
	return i
}

// CronJobs of the cluster.
func (e *Env) CronJobs() *kit.Informer[*batchv1.CronJob] {
	return kit.InformerFor[*batchv1.CronJob](e.Informers, batchv1.SchemeGroupVersion.WithResource("cronjobs"))
}

// EndpointSlices of the cluster.
func (e *Env) EndpointSlices() *kit.Informer[*discoveryv1.EndpointSlice] {
	return kit.InformerFor[*discoveryv1.EndpointSlice](e.Informers, discoveryv1.SchemeGroupVersion.WithResource("endpointslices"))
}

// NodeLeases are the leases by which nodes show that they live.
func (e *Env) NodeLeases() *kit.Informer[*coordinationv1.Lease] {
	return kit.Filtered[*coordinationv1.Lease](e.Informers, coordinationv1.SchemeGroupVersion.WithResource("leases"),
		kit.SourceOptions{Namespace: corev1.NamespaceNodeLease})
}

// PodDisruptionBudgets of the cluster.
func (e *Env) PodDisruptionBudgets() *kit.Informer[*policyv1.PodDisruptionBudget] {
	return kit.InformerFor[*policyv1.PodDisruptionBudget](e.Informers, policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"))
}

// ClusterRoles of the cluster.
func (e *Env) ClusterRoles() *kit.Informer[*rbacv1.ClusterRole] {
	return kit.InformerFor[*rbacv1.ClusterRole](e.Informers, rbacv1.SchemeGroupVersion.WithResource("clusterroles"))
}

// VolumeAttachments of the cluster.
func (e *Env) VolumeAttachments() *kit.Informer[*storagev1.VolumeAttachment] {
	return kit.InformerFor[*storagev1.VolumeAttachment](e.Informers, storagev1.SchemeGroupVersion.WithResource("volumeattachments"))
}

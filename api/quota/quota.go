// Package quota measures what objects use of a ResourceQuota: pure functions on
// the published types, shared by admission (which charges) and the controller
// (which counts).
//
//	Usage(resource, object) ──▶ amounts by quota name ──▶ those that a quota limits
//
// Contract: amounts are never negative; an object that uses nothing a quota
// limits gives an empty list. Scopes narrow a quota to some objects (Covers).
package quota

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	podresources "k8s.io/component-helpers/resource"
)

// Usage of one object of the resource.
func Usage(gr schema.GroupResource, obj metav1.Object) corev1.ResourceList {
	u := corev1.ResourceList{}
	count(u, "count/"+gr.String())
	if gr.Group != "" {
		return u
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		podUsage(u, o)
	case *corev1.Service:
		serviceUsage(u, o)
	case *corev1.PersistentVolumeClaim:
		claimUsage(u, o)
	default:
		switch gr.Resource {
		case "configmaps", "secrets", "replicationcontrollers", "resourcequotas":
			count(u, gr.Resource)
		}
	}
	return u
}

func count(u corev1.ResourceList, name string) {
	add(u, name, *resource.NewQuantity(1, resource.DecimalSI))
}

func add(u corev1.ResourceList, name string, q resource.Quantity) {
	have := u[corev1.ResourceName(name)]
	have.Add(q)
	u[corev1.ResourceName(name)] = have
}

// Finished pods hold no compute any more, only their place in etcd.
func Finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func podUsage(u corev1.ResourceList, p *corev1.Pod) {
	if Finished(p) {
		return
	}
	count(u, "pods")
	// What was resized down counts until the kubelet has done so: it may not be able to.
	o := podresources.PodResourcesOptions{UseStatusResources: true}
	for name, q := range podresources.PodRequests(p, o) {
		switch n := string(name); {
		case isCompute(name):
			add(u, n, q)
			add(u, "requests."+n, q)
		case strings.HasPrefix(n, corev1.ResourceHugePagesPrefix):
			add(u, n, q)
			add(u, "requests."+n, q)
		case strings.Contains(n, "/"):
			add(u, "requests."+n, q)
		}
	}
	for name, q := range podresources.PodLimits(p, o) {
		if isCompute(name) {
			add(u, "limits."+string(name), q)
		}
	}
}

func isCompute(n corev1.ResourceName) bool {
	return n == corev1.ResourceCPU || n == corev1.ResourceMemory || n == corev1.ResourceEphemeralStorage
}

func serviceUsage(u corev1.ResourceList, s *corev1.Service) {
	count(u, "services")
	ports := int64(len(s.Spec.Ports))
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
	case corev1.ServiceTypeLoadBalancer:
		count(u, "services.loadbalancers")
		if a := s.Spec.AllocateLoadBalancerNodePorts; a != nil && !*a {
			ports = 0
			for _, p := range s.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
	default:
		return
	}
	add(u, "services.nodeports", *resource.NewQuantity(ports, resource.DecimalSI))
}

func claimUsage(u corev1.ResourceList, c *corev1.PersistentVolumeClaim) {
	size := c.Spec.Resources.Requests[corev1.ResourceStorage]
	if has := c.Status.AllocatedResources[corev1.ResourceStorage]; has.Cmp(size) > 0 {
		size = has
	}
	count(u, "persistentvolumeclaims")
	add(u, "requests.storage", size)
	class := c.Annotations[corev1.BetaStorageClassAnnotation]
	if class == "" && c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	if class != "" {
		const suffix = ".storageclass.storage.k8s.io/"
		count(u, class+suffix+"persistentvolumeclaims")
		add(u, class+suffix+"requests.storage", size)
	}
}

// Unspecified lists what a quota demands that containers say and they do not:
// "limits.cpu for: a,b". A quota on compute needs every pod to ask for it,
// for itself as a whole or in each container; asking for nothing is asking.
func Unspecified(p *corev1.Pod, hard corev1.ResourceList) []string {
	missing := map[string][]string{}
	var whole corev1.ResourceRequirements
	if p.Spec.Resources != nil {
		whole = *p.Spec.Resources
	}
	demand := func(c *corev1.Container) {
		for name := range hard {
			n := string(name)
			list, ofPod, key := c.Resources.Requests, whole.Requests, strings.TrimPrefix(n, "requests.")
			if l, ok := strings.CutPrefix(n, "limits."); ok {
				list, ofPod, key = c.Resources.Limits, whole.Limits, l
			}
			if r := corev1.ResourceName(key); r != corev1.ResourceCPU && r != corev1.ResourceMemory {
				continue
			}
			_, said := list[corev1.ResourceName(key)]
			if _, saidOfPod := ofPod[corev1.ResourceName(key)]; !said && !saidOfPod {
				missing[n] = append(missing[n], c.Name)
			}
		}
	}
	for i := range p.Spec.Containers {
		demand(&p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		demand(&p.Spec.InitContainers[i])
	}
	var out []string
	for name, who := range missing {
		slices.Sort(who)
		out = append(out, name+" for: "+strings.Join(who, ","))
	}
	slices.Sort(out)
	return out
}

// Lowered reports whether an object of the resource uses less of something than it did.
func Lowered(gr schema.GroupResource, old, obj metav1.Object) bool {
	is := Usage(gr, obj)
	for name, was := range Usage(gr, old) {
		if q := is[name]; q.Cmp(was) < 0 {
			return true
		}
	}
	return false
}

// Resources that must be counted to know what is used of the limits.
func Resources(hard corev1.ResourceList) []schema.GroupResource {
	var out []schema.GroupResource
	for name := range hard {
		gr := measured(string(name))
		if !slices.Contains(out, gr) {
			out = append(out, gr)
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupResource) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func measured(name string) schema.GroupResource {
	if counted, ok := strings.CutPrefix(name, "count/"); ok {
		return schema.ParseGroupResource(counted)
	}
	switch {
	case name == "services" || strings.HasPrefix(name, "services."):
		return schema.GroupResource{Resource: "services"}
	case name == "persistentvolumeclaims" || name == "requests.storage" || strings.Contains(name, ".storageclass.storage.k8s.io/"):
		return schema.GroupResource{Resource: "persistentvolumeclaims"}
	case name == "configmaps" || name == "secrets" || name == "replicationcontrollers" || name == "resourcequotas":
		return schema.GroupResource{Resource: name}
	}
	return schema.GroupResource{Resource: "pods"}
}

// Total of all objects that the quota covers. objects yields those of one
// resource in the quota's namespace.
func Total[T metav1.Object](q *corev1.ResourceQuota, objects func(schema.GroupResource) ([]T, error)) (corev1.ResourceList, error) {
	sum := corev1.ResourceList{}
	for name := range q.Spec.Hard {
		sum[name] = *resource.NewQuantity(0, resource.DecimalSI)
	}
	for _, gr := range Resources(q.Spec.Hard) {
		list, err := objects(gr)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			if !Covers(q, o) {
				continue
			}
			for name, amount := range Usage(gr, o) {
				if have, ok := sum[name]; ok {
					have.Add(amount)
					sum[name] = have
				}
			}
		}
	}
	return sum, nil
}

package dns

import (
	"net/netip"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ManifestOptions say what the objects in the cluster look like. Image and ServiceIP
// are needed.
type ManifestOptions struct {
	Image     string
	ServiceIP netip.Addr // the tenth of the service range
	Replicas  int32      // 1 when zero
	Corefile  CorefileOptions
}

const (
	name      = "coredns"
	namespace = metav1.NamespaceSystem
	roleName  = "system:coredns"
	confDir   = "/etc/coredns"
)

// Manifests are the objects that run the name server in the cluster, in the order in
// which they should be created. Apply them server-side: a user may have changed them.
func Manifests(o ManifestOptions) []runtime.Object {
	return []runtime.Object{
		serviceAccount(), clusterRole(), clusterRoleBinding(), configMap(o), service(o), deployment(o),
	}
}

func labels() map[string]string { return map[string]string{"k8s-app": "kube-dns"} }

func meta(name string, extra map[string]string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels()}
	for k, v := range extra {
		m.Labels[k] = v
	}
	return m
}

func serviceAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
}

func clusterRole() *rbacv1.ClusterRole {
	watch := []string{"list", "watch"}
	return &rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: roleName},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"endpoints", "services", "pods", "namespaces"}, Verbs: watch},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: watch},
		}}
}

func clusterRoleBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: roleName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}}}
}

func configMap(o ManifestOptions) *corev1.ConfigMap {
	return &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Data:       map[string]string{"Corefile": Corefile(o.Corefile)}}
}

func service(o ManifestOptions) *corev1.Service {
	m := meta("kube-dns", map[string]string{"kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"})
	m.Annotations = map[string]string{"prometheus.io/port": "9153", "prometheus.io/scrape": "true"}
	port := func(name string, p corev1.Protocol, n int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Protocol: p, Port: n, TargetPort: intstr.FromInt32(n)}
	}
	return &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: m,
		Spec: corev1.ServiceSpec{Selector: labels(), ClusterIP: o.ServiceIP.String(), ClusterIPs: []string{o.ServiceIP.String()},
			Ports: []corev1.ServicePort{port("dns", corev1.ProtocolUDP, 53), port("dns-tcp", corev1.ProtocolTCP, 53), port("metrics", corev1.ProtocolTCP, 9153)}}}
}

func deployment(o ManifestOptions) *appsv1.Deployment {
	replicas := max(o.Replicas, 1)
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	return &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: meta(name, map[string]string{"kubernetes.io/name": "CoreDNS"}),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels()},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels()}, Spec: podSpec(o)},
		}}
}

func podSpec(o ManifestOptions) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: name,
		PriorityClassName:  "system-cluster-critical",
		DNSPolicy:          corev1.DNSDefault, // the host's name servers are its upstreams
		NodeSelector:       map[string]string{corev1.LabelOSStable: "linux"},
		Tolerations: []corev1.Toleration{
			{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists},
			{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelHostname,
			WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: &metav1.LabelSelector{MatchLabels: labels()}}},
		SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers:      []corev1.Container{container(o)},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name},
			Items:                []corev1.KeyToPath{{Key: "Corefile", Path: "Corefile"}}}}}},
	}
}

func container(o ManifestOptions) corev1.Container {
	no, yes := false, true
	port := func(name string, p corev1.Protocol, n int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, Protocol: p, ContainerPort: n}
	}
	probe := func(path string, port int32) corev1.ProbeHandler {
		return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP}}
	}
	return corev1.Container{
		Name: name, Image: o.Image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"/hyperkube"}, Args: []string{"dns", "--conf", confDir + "/Corefile"},
		Env: []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "128MiB"}, {Name: "GOGC", Value: "50"}},
		Resources: corev1.ResourceRequirements{
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("170Mi")},
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("50Mi")},
		},
		Ports: []corev1.ContainerPort{port("dns", corev1.ProtocolUDP, 53), port("dns-tcp", corev1.ProtocolTCP, 53),
			port("metrics", corev1.ProtocolTCP, 9153), port("liveness-probe", corev1.ProtocolTCP, 8080), port("readiness-probe", corev1.ProtocolTCP, 8181)},
		LivenessProbe: &corev1.Probe{ProbeHandler: probe("/health", 8080), InitialDelaySeconds: 60, TimeoutSeconds: 5, PeriodSeconds: 10,
			SuccessThreshold: 1, FailureThreshold: 5},
		ReadinessProbe: &corev1.Probe{ProbeHandler: probe("/ready", 8181), TimeoutSeconds: 1, PeriodSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3},
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}, Drop: []corev1.Capability{"ALL"}}},
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: confDir, ReadOnly: true}},
	}
}

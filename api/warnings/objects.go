package warnings

import (
	"fmt"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
)

// The workloads: each warns of its name and its template.

// Deployment warns of a deployment.
func Deployment(d, old *appsv1.Deployment) []string {
	return Workload(d.Name, old == nil, &d.Spec.Template, old != nil && d.Generation != old.Generation, "spec.template")
}

// ReplicaSet warns of a replica set.
func ReplicaSet(r, old *appsv1.ReplicaSet) []string {
	return Workload(r.Name, old == nil, &r.Spec.Template, old != nil && r.Generation != old.Generation, "spec.template")
}

// DaemonSet warns of a daemon set.
func DaemonSet(d, old *appsv1.DaemonSet) []string {
	return Workload(d.Name, old == nil, &d.Spec.Template, old != nil && d.Generation != old.Generation, "spec.template")
}

// StatefulSet warns of a stateful set and its claims.
func StatefulSet(s, old *appsv1.StatefulSet) []string {
	out := Workload(s.Name, old == nil, &s.Spec.Template, old != nil && s.Generation != old.Generation, "spec.template")
	for i := range s.Spec.VolumeClaimTemplates {
		out = append(out, claimSpec(&s.Spec.VolumeClaimTemplates[i].Spec, fmt.Sprintf("spec.volumeClaimTemplates[%d].spec", i))...)
	}
	return out
}

// ReplicationController warns of a replication controller.
func ReplicationController(r, old *corev1.ReplicationController) []string {
	if r.Spec.Template == nil {
		return nil
	}
	return Workload(r.Name, old == nil, r.Spec.Template, old != nil && r.Generation != old.Generation, "spec.template")
}

// PodTemplate warns of a stored template.
func PodTemplate(t, old *corev1.PodTemplate) []string {
	return Workload(t.Name, false, &t.Template, old == nil || !reflect.DeepEqual(t.Template, old.Template), "template")
}

// Job warns of a job.
func Job(j, old *batchv1.Job) []string {
	out := Workload(j.Name, old == nil, &j.Spec.Template, false, "spec.template")
	return append(out, jobSpec(&j.Spec)...)
}

func jobSpec(s *batchv1.JobSpec) []string {
	const manyIndexes, manyAtOnce = 100_000, 10_000
	if s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion && s.Completions != nil && *s.Completions > manyIndexes &&
		s.Parallelism != nil && *s.Parallelism > manyAtOnce {
		return []string{"In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, a Kubernetes control plane might not be able to track completedIndexes when a big number of indexes fail"}
	}
	return nil
}

// CronJob warns of a cron job.
func CronJob(c, old *batchv1.CronJob) []string {
	out := Workload(c.Name, old == nil, &c.Spec.JobTemplate.Spec.Template, old != nil && c.Generation != old.Generation, "spec.jobTemplate.spec.template")
	if strings.Contains(c.Spec.Schedule, "TZ") {
		out = append(out, fmt.Sprintf("%s: CRON_TZ or TZ used in %s is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", "spec.schedule", "spec.schedule"))
	}
	return out
}

// Service warns of fields without effect and of addresses written oddly.
func Service(s, _ *corev1.Service) (out []string) {
	if _, ok := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; ok {
		out = append(out, fmt.Sprintf("annotation %s is deprecated, please use %s instead", corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode))
	}
	headless := s.Spec.ClusterIP == corev1.ClusterIPNone
	switch {
	case headless && s.Spec.LoadBalancerIP != "":
		out = append(out, "spec.loadBalancerIP is ignored for headless services")
	case headless && len(s.Spec.ExternalIPs) > 0:
		out = append(out, "spec.externalIPs is ignored for headless services")
	}
	if headless && s.Spec.SessionAffinity != "" && s.Spec.SessionAffinity != corev1.ServiceAffinityNone {
		out = append(out, "spec.SessionAffinity is ignored for headless services")
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName && len(s.Spec.ExternalIPs) > 0 {
		out = append(out, `spec.externalIPs is ignored when spec.type is "ExternalName"`)
	}
	if s.Spec.Type != corev1.ServiceTypeExternalName && s.Spec.ExternalName != "" {
		out = append(out, `spec.externalName is ignored when spec.type is not "ExternalName"`)
	}
	if len(s.Spec.ExternalIPs) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName {
		out = append(out, "spec.externalIPs is deprecated in v1.36+, and will be removed in a future release")
	}
	for i, ip := range s.Spec.ClusterIPs {
		out = append(out, address(ip, fmt.Sprintf("spec.clusterIPs[%d]", i))...)
	}
	for i, ip := range s.Spec.ExternalIPs {
		out = append(out, address(ip, fmt.Sprintf("spec.externalIPs[%d]", i))...)
	}
	out = append(out, address(s.Spec.LoadBalancerIP, "spec.loadBalancerIP")...)
	for i, r := range s.Spec.LoadBalancerSourceRanges {
		out = append(out, prefix(strings.TrimSpace(r), fmt.Sprintf("spec.loadBalancerSourceRanges[%d]", i))...)
	}
	return append(out, servicePorts(s.Spec.Ports)...)
}

// servicePorts warns of ports that cannot be told apart.
func servicePorts(ports []corev1.ServicePort) (out []string) {
	type port struct {
		protocol corev1.Protocol
		node     int32
		number   int32
		target   string
	}
	seen := map[port]int{}
	for i, p := range ports {
		key := port{p.Protocol, p.NodePort, p.Port, p.TargetPort.String()}
		if first, ok := seen[key]; ok {
			out = append(out, fmt.Sprintf("spec.ports[%d]: duplicate port definition with spec.ports[%d]", i, first))
			continue
		}
		seen[key] = i
	}
	return out
}

// EndpointSlice warns of addresses written oddly and of names as addresses.
func EndpointSlice(s, _ *discoveryv1.EndpointSlice) (out []string) {
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return []string{"addressType: FQDN endpoints are deprecated"}
	}
	for i := range s.Endpoints {
		for j, a := range s.Endpoints[i].Addresses {
			out = append(out, address(a, fmt.Sprintf("endpoints[%d].addresses[%d]", i, j))...)
		}
	}
	return out
}

// Node warns of fields nobody reads any more.
func Node(n, _ *corev1.Node) (out []string) {
	if n.Spec.ConfigSource != nil {
		out = append(out, "spec.configSource: the feature is removed in v1.24+")
	}
	if n.Spec.DoNotUseExternalID != "" {
		out = append(out, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, c := range n.Spec.PodCIDRs {
		out = append(out, prefix(c, fmt.Sprintf("spec.podCIDRs[%d]", i))...)
	}
	return out
}

// RuntimeClass warns of old node labels.
func RuntimeClass(r, _ *nodev1.RuntimeClass) (out []string) {
	if r.Scheduling == nil {
		return nil
	}
	return placement(&corev1.PodSpec{NodeSelector: r.Scheduling.NodeSelector}, "scheduling")
}

// Ingress warns of the annotation that a field replaced.
func Ingress(i, old *networkingv1.Ingress) []string {
	const annotation = "kubernetes.io/ingress.class"
	if _, ok := i.Annotations[annotation]; ok && old == nil {
		return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", annotation)}
	}
	return nil
}

// NetworkPolicy warns of blocks written oddly.
func NetworkPolicy(p, _ *networkingv1.NetworkPolicy) (out []string) {
	peers := func(list []networkingv1.NetworkPolicyPeer, at string) {
		for i, peer := range list {
			if peer.IPBlock == nil {
				continue
			}
			at := fmt.Sprintf("%s[%d].ipBlock", at, i)
			out = append(out, prefix(peer.IPBlock.CIDR, at+".cidr")...)
			for j, e := range peer.IPBlock.Except {
				out = append(out, prefix(e, fmt.Sprintf("%s.except[%d]", at, j))...)
			}
		}
	}
	for i := range p.Spec.Ingress {
		peers(p.Spec.Ingress[i].From, fmt.Sprintf("spec.ingress[%d].from", i))
	}
	for i := range p.Spec.Egress {
		peers(p.Spec.Egress[i].To, fmt.Sprintf("spec.egress[%d].to", i))
	}
	return out
}

// ServiceAccount warns of the annotation that namespaces replaced.
func ServiceAccount(s, old *corev1.ServiceAccount) []string {
	const annotation = "kubernetes.io/enforce-mountable-secrets"
	value, ok := s.Annotations[annotation]
	if !ok || old != nil && old.Annotations[annotation] == value {
		return nil
	}
	return []string{fmt.Sprintf("metadata.annotations[%s]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets", annotation)}
}

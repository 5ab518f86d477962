package warnings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pod warns of a new pod. What an update may change is not warned of again.
func Pod(p, old *corev1.Pod) []string {
	if old != nil {
		return nil
	}
	out := hostname(p.Name, "the Pod's hostname")
	return append(out, template(&p.ObjectMeta, &p.Spec, "")...)
}

// Workload warns of a kind whose pods are made by a controller: of the name, on create,
// and of the template whenever it changed. at is where the template stands:
// "spec.template".
func Workload(name string, created bool, t *corev1.PodTemplateSpec, changed bool, at string) (out []string) {
	if created {
		out = hostname(name, "Pod names and hostnames")
	}
	if created || changed {
		out = append(out, Template(t, at)...)
	}
	return out
}

// Template warns of the template of a workload.
func Template(t *corev1.PodTemplateSpec, at string) []string {
	return template(&t.ObjectMeta, &t.Spec, at+".")
}

func template(meta *metav1.ObjectMeta, s *corev1.PodSpec, at string) (out []string) {
	spec := at + "spec"
	out = append(out, placement(s, spec)...)
	out = append(out, annotations(meta.Annotations, at+"metadata.annotations")...)
	out = append(out, volumes(s.Volumes, spec+".volumes")...)
	out = append(out, names(s, spec)...)
	for _, name := range slices.Sorted(maps.Keys(s.Overhead)) {
		if name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage {
			out = append(out, fraction(s.Overhead[name], fmt.Sprintf("%s.overhead[%s]", spec, name))...)
		}
	}
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		out = append(out, spec+".terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
	}
	out = append(out, containers(s, spec)...)
	return out
}

// names warns of lists in which an entry hides another.
func names(s *corev1.PodSpec, spec string) (out []string) {
	for i, r := range s.ImagePullSecrets {
		if r.Name == "" {
			out = append(out, fmt.Sprintf("%s.imagePullSecrets[%d].name: invalid empty name %q", spec, i, r.Name))
		}
	}
	seen := make(map[string]bool, len(s.HostAliases))
	for i, a := range s.HostAliases {
		at := fmt.Sprintf("%s.hostAliases[%d].ip", spec, i)
		if seen[a.IP] {
			out = append(out, fmt.Sprintf("%s: duplicates alias for IP %q", at, a.IP))
		}
		seen[a.IP] = true
		out = append(out, address(a.IP, at)...)
	}
	if s.DNSConfig != nil {
		for i, ip := range s.DNSConfig.Nameservers {
			out = append(out, address(ip, fmt.Sprintf("%s.dnsConfig.nameservers[%d]", spec, i))...)
		}
	}
	return out
}

// annotations whose meaning has moved into fields.
func annotations(m map[string]string, at string) (out []string) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		why := ""
		switch {
		case key == corev1.SeccompPodAnnotationKey || strings.HasPrefix(key, corev1.SeccompContainerAnnotationKeyPrefix):
			why = `non-functional in v1.27+; use the "seccompProfile" field instead`
		case strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix):
			why = `deprecated since v1.30; use the "appArmorProfile" field instead`
		case key == "scheduler.alpha.kubernetes.io/critical-pod":
			why = `non-functional in v1.16+; use the "priorityClassName" field instead`
		case key == "security.alpha.kubernetes.io/sysctls" || key == "security.alpha.kubernetes.io/unsafe-sysctls":
			why = `non-functional in v1.11+; use the "sysctls" field instead`
		case key == "pod.beta.kubernetes.io/init-containers" || key == "pod.alpha.kubernetes.io/init-containers":
			why = `non-functional in v1.8+; use the "initContainers" field instead`
		default:
			continue
		}
		out = append(out, fmt.Sprintf("%s[%s]: %s", at, key, why))
	}
	return out
}

// placement warns of old node labels and of selectors that match nothing.
func placement(s *corev1.PodSpec, spec string) (out []string) {
	for _, key := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		if why := oldLabels[key]; why != "" {
			out = append(out, fmt.Sprintf("%s.nodeSelector[%s]: %s", spec, key, strings.TrimPrefix(why, "is ")))
		}
	}
	for i, c := range s.TopologySpreadConstraints {
		at := fmt.Sprintf("%s.topologySpreadConstraints[%d]", spec, i)
		if why := oldLabels[c.TopologyKey]; why != "" {
			out = append(out, fmt.Sprintf("%s.topologyKey: %s %s", at, c.TopologyKey, why))
		}
		if c.LabelSelector == nil {
			out = append(out, at+".labelSelector: a null labelSelector results in matching no pod")
		}
	}
	if s.Affinity == nil {
		return out
	}
	at := spec + ".affinity"
	if n := s.Affinity.NodeAffinity; n != nil {
		out = append(out, nodeAffinity(n, at+".nodeAffinity")...)
	}
	if a := s.Affinity.PodAffinity; a != nil {
		out = append(out, podTerms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution, at+".podAffinity")...)
	}
	if a := s.Affinity.PodAntiAffinity; a != nil {
		out = append(out, podTerms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution, at+".podAntiAffinity")...)
	}
	return out
}

func nodeAffinity(n *corev1.NodeAffinity, at string) (out []string) {
	if n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for i := range n.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			out = append(out, nodeTerm(&n.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[i],
				fmt.Sprintf("%s.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[%d]", at, i))...)
		}
	}
	for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
		out = append(out, nodeTerm(&n.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference,
			fmt.Sprintf("%s.preferredDuringSchedulingIgnoredDuringExecution[%d].preference", at, i))...)
	}
	return out
}

func nodeTerm(t *corev1.NodeSelectorTerm, at string) (out []string) {
	for i, e := range t.MatchExpressions {
		if why := oldLabels[e.Key]; why != "" {
			out = append(out, fmt.Sprintf("%s.matchExpressions[%d].key: %s %s", at, i, e.Key, why))
		}
	}
	return out
}

func podTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, at string) (out []string) {
	const nothing = ".labelSelector: a null labelSelector results in matching no pod"
	for i, t := range required {
		if t.LabelSelector == nil {
			out = append(out, fmt.Sprintf("%s.requiredDuringSchedulingIgnoredDuringExecution[%d]%s", at, i, nothing))
		}
	}
	for i, t := range preferred {
		if t.PodAffinityTerm.LabelSelector == nil {
			out = append(out, fmt.Sprintf("%s.preferredDuringSchedulingIgnoredDuringExecution[%d].podAffinityTerm%s", at, i, nothing))
		}
	}
	return out
}

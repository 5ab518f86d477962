package quota

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/api/core"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Covers reports whether the quota's scopes let the object count. Quotas with
// scopes are about pods (and claims, for volume attributes classes).
func Covers(q *corev1.ResourceQuota, obj metav1.Object) bool {
	var list []corev1.ScopedResourceSelectorRequirement
	for _, s := range q.Spec.Scopes {
		list = append(list, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		list = append(list, q.Spec.ScopeSelector.MatchExpressions...)
	}
	for _, r := range list {
		if !inScope(r, obj) {
			return false
		}
	}
	return true
}

func inScope(r corev1.ScopedResourceSelectorRequirement, obj metav1.Object) bool {
	switch o := obj.(type) {
	case *corev1.Pod:
		return podInScope(r, o)
	case *corev1.PersistentVolumeClaim:
		if r.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass {
			return false
		}
		class := ""
		if o.Spec.VolumeAttributesClassName != nil {
			class = *o.Spec.VolumeAttributesClassName
		}
		return matches(r, class)
	}
	return false
}

func podInScope(r corev1.ScopedResourceSelectorRequirement, p *corev1.Pod) bool {
	switch r.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return p.Spec.ActiveDeadlineSeconds != nil
	case corev1.ResourceQuotaScopeNotTerminating:
		return p.Spec.ActiveDeadlineSeconds == nil
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort(p)
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort(p)
	case corev1.ResourceQuotaScopePriorityClass:
		return matches(r, p.Spec.PriorityClassName)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return crossNamespace(p)
	}
	return false
}

func matches(r corev1.ScopedResourceSelectorRequirement, value string) bool {
	switch r.Operator {
	case corev1.ScopeSelectorOpIn:
		return slices.Contains(r.Values, value)
	case corev1.ScopeSelectorOpNotIn:
		return !slices.Contains(r.Values, value)
	case corev1.ScopeSelectorOpDoesNotExist:
		return value == ""
	}
	return value != ""
}

func bestEffort(p *corev1.Pod) bool { return core.QOSClass(&p.Spec) == corev1.PodQOSBestEffort }

func crossNamespace(p *corev1.Pod) bool {
	a := p.Spec.Affinity
	if a == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	collect := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		terms = append(terms, required...)
		for _, w := range preferred {
			terms = append(terms, w.PodAffinityTerm)
		}
	}
	if x := a.PodAffinity; x != nil {
		collect(x.RequiredDuringSchedulingIgnoredDuringExecution, x.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if x := a.PodAntiAffinity; x != nil {
		collect(x.RequiredDuringSchedulingIgnoredDuringExecution, x.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil })
}

package core

import (
	"bytes"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// PreparePod makes what a client sent a new pod: no status but Pending, and what
// follows from the spec.
func PreparePod(p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: QOSClass(&p.Spec)}
	DropGated(&p.Spec, nil)
	wholeGrace(&p.Spec)
	if len(p.Spec.SchedulingGates) > 0 {
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",
		}}
	}
	if a := p.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			applyLabelKeys(p.Labels, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			applyLabelKeys(p.Labels, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
}

// PreparePodUpdate keeps the status out of an update of the pod itself.
func PreparePodUpdate(p, old *corev1.Pod) {
	p.Status = old.Status
	DropGated(&p.Spec, &old.Spec)
	wholeGrace(&p.Spec)
	if len(old.Spec.SchedulingGates) > 0 && len(p.Spec.SchedulingGates) == 0 {
		p.Status.Conditions = slices.DeleteFunc(slices.Clone(p.Status.Conditions), func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated
		})
	}
}

// PreparePodStatus keeps everything but the status as it was.
func PreparePodStatus(p, old *corev1.Pod) {
	p.Spec = old.Spec
	p.OwnerReferences = old.OwnerReferences
	if p.Status.QOSClass == "" {
		p.Status.QOSClass = old.Status.QOSClass
	}
	if len(p.Status.ResourceClaimStatuses) == 0 {
		p.Status.ResourceClaimStatuses = old.Status.ResourceClaimStatuses
	}
}

// PreparePodEphemeral lets only the ephemeral containers through.
func PreparePodEphemeral(p, old *corev1.Pod) {
	added := p.Spec.EphemeralContainers
	keepMeta(p, old)
	p.Spec = *old.Spec.DeepCopy()
	p.Spec.EphemeralContainers = added
	DropGated(&p.Spec, &old.Spec)
	p.Status = old.Status
}

// PreparePodResize lets only the containers' resources and resize policies through.
func PreparePodResize(p, old *corev1.Pod) {
	asked := p.Spec
	keepMeta(p, old)
	p.Spec = *old.Spec.DeepCopy()
	resizeFrom(p.Spec.Containers, asked.Containers)
	resizeFrom(p.Spec.InitContainers, asked.InitContainers)
	if asked.Resources != nil {
		p.Spec.Resources = asked.Resources
	}
	p.Status = old.Status
}

func resizeFrom(cs, asked []corev1.Container) {
	named := make(map[string]*corev1.Container, len(asked))
	for i := range asked {
		named[asked[i].Name] = &asked[i]
	}
	for i := range cs {
		if a := named[cs[i].Name]; a != nil {
			cs[i].Resources, cs[i].ResizePolicy = a.Resources, a.ResizePolicy
		}
	}
}

// keepMeta takes the metadata of old but for what the server itself compares and
// records: the revision and the managed fields.
func keepMeta(p, old *corev1.Pod) {
	version, managed := p.ResourceVersion, p.ManagedFields
	p.ObjectMeta = *old.ObjectMeta.DeepCopy()
	p.ResourceVersion, p.ManagedFields = version, managed
}

// PodSpecChanged tells whether metadata.generation must rise. Most updates leave
// the spec alone, which equal encodings show at a third of the price of looking
// at every field.
func PodSpecChanged(p, old *corev1.Pod) bool {
	is, err := p.Spec.Marshal()
	was, wasErr := old.Spec.Marshal()
	if err == nil && wasErr == nil && bytes.Equal(is, was) {
		return false
	}
	return !equality.Semantic.DeepEqual(&p.Spec, &old.Spec)
}

// wholeGrace: a negative grace period means one second.
func wholeGrace(s *corev1.PodSpec) {
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		s.TerminationGracePeriodSeconds = ptr.To(int64(1))
	}
}

// applyLabelKeys turns matchLabelKeys and mismatchLabelKeys into requirements on
// this pod's own label values.
func applyLabelKeys(labels map[string]string, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		applyTermKeys(labels, &required[i])
	}
	for i := range preferred {
		applyTermKeys(labels, &preferred[i].PodAffinityTerm)
	}
}

func applyTermKeys(labels map[string]string, t *corev1.PodAffinityTerm) {
	if t.LabelSelector == nil {
		return
	}
	add := func(keys []string, op metav1.LabelSelectorOperator) {
		for _, k := range keys {
			if v, ok := labels[k]; ok {
				t.LabelSelector.MatchExpressions = append(t.LabelSelector.MatchExpressions,
					metav1.LabelSelectorRequirement{Key: k, Operator: op, Values: []string{v}})
			}
		}
	}
	add(t.MatchLabelKeys, metav1.LabelSelectorOpIn)
	add(t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
}

// QOSClass of a pod: Guaranteed when every container's CPU and memory are
// limited to what it asks for, BestEffort when nothing is asked for or limited,
// Burstable else. Resources of the pod as a whole decide alone where they are set.
func QOSClass(s *corev1.PodSpec) corev1.PodQOSClass {
	any, all := false, true
	look := func(r *corev1.ResourceRequirements) {
		for _, name := range [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			any = any || !request.IsZero() || !limit.IsZero()
			if limit.IsZero() || !request.IsZero() && request.Cmp(limit) != 0 || request.IsZero() {
				all = false
			}
		}
	}
	if s.Resources != nil && (len(s.Resources.Requests) > 0 || len(s.Resources.Limits) > 0) {
		look(s.Resources)
	} else {
		for i := range s.InitContainers {
			look(&s.InitContainers[i].Resources)
		}
		for i := range s.Containers {
			look(&s.Containers[i].Resources)
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case all:
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// PodGrace is how many seconds a pod gets to end: what was asked for, else what
// its spec says; none when no node runs it or it has ended.
func PodGrace(p *corev1.Pod, asked *int64) int64 {
	if p.Spec.NodeName == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return 0
	}
	grace := int64(0)
	switch {
	case asked != nil:
		grace = *asked
	case p.Spec.TerminationGracePeriodSeconds != nil:
		grace = *p.Spec.TerminationGracePeriodSeconds
	}
	if grace < 0 {
		return 1
	}
	return grace
}

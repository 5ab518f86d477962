package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

const podUpdates = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," +
	"`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

// ValidatePodUpdate judges a change of the pod itself: images, a shorter
// deadline, further tolerations; of a gated pod also its gates and a narrower
// choice of nodes. An unchanged spec is not judged again.
func ValidatePodUpdate(p, old *corev1.Pod) (errs field.ErrorList) {
	if errs := validateMirrorKept(p, old); len(errs) > 0 || !PodSpecChanged(p, old) {
		return errs
	}
	spec := field.NewPath("spec")
	if len(p.Spec.Containers) != len(old.Spec.Containers) {
		errs = append(errs, field.Forbidden(spec.Child("containers"), "pod updates may not add or remove containers"))
	}
	if len(p.Spec.InitContainers) != len(old.Spec.InitContainers) {
		errs = append(errs, field.Forbidden(spec.Child("initContainers"), "pod updates may not add or remove containers"))
	}
	if len(errs) > 0 {
		return errs
	}
	errs = validateDeadlineChange(p, old, spec.Child("activeDeadlineSeconds"))
	errs = append(errs, validateGateChange(p, old, spec.Child("schedulingGates"))...)
	errs = append(errs, validateTolerationsKept(p.Spec.Tolerations, old.Spec.Tolerations, spec.Child("tolerations"))...)
	errs = append(errs, ValidatePodSpec(&p.Spec, spec)...)
	if len(errs) > 0 {
		return errs
	}
	was := old.Spec.DeepCopy()
	forgive(&p.Spec, was)
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, validateGatedPlacement(p, old, spec)...)
		was.NodeSelector = p.Spec.NodeSelector
		was.Affinity = withNodeAffinity(was.Affinity, p.Spec.Affinity)
	}
	if len(errs) == 0 && !equality.Semantic.DeepEqual(&p.Spec, was) {
		errs = append(errs, field.Forbidden(spec, podUpdates+"\n"+diff.Diff(was, &p.Spec)))
	}
	return errs
}

// forgive takes over into was what an update may change.
func forgive(is, was *corev1.PodSpec) {
	for i := range was.Containers {
		was.Containers[i].Image = is.Containers[i].Image
	}
	for i := range was.InitContainers {
		was.InitContainers[i].Image = is.InitContainers[i].Image
	}
	was.ActiveDeadlineSeconds = is.ActiveDeadlineSeconds
	was.Tolerations = is.Tolerations
	was.SchedulingGates = is.SchedulingGates
	if g, n := was.TerminationGracePeriodSeconds, is.TerminationGracePeriodSeconds; g != nil && *g < 0 && n != nil && *n == 1 {
		was.TerminationGracePeriodSeconds = n
	}
}

func validateDeadlineChange(p, old *corev1.Pod, path *field.Path) (errs field.ErrorList) {
	is, was := p.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds
	switch {
	case is == nil && was != nil:
		errs = append(errs, field.Invalid(path, is, "must not update from a positive integer to nil value"))
	case is != nil && (*is < 0 || *is > 2147483647):
		errs = append(errs, field.Invalid(path, *is, validation.InclusiveRangeError(0, 2147483647)))
	case is != nil && was != nil && *was < *is:
		errs = append(errs, field.Invalid(path, *is, "must be less than or equal to previous value"))
	}
	return errs
}

func validateGateChange(p, old *corev1.Pod, path *field.Path) (errs field.ErrorList) {
	known := rules.Seen[string]{}
	for _, o := range old.Spec.SchedulingGates {
		known.Again(o.Name)
	}
	for i, g := range p.Spec.SchedulingGates {
		if !known.Has(g.Name) {
			errs = append(errs, field.Forbidden(path.Index(i).Child("name"), "only deletion is allowed, but found new scheduling gate '"+g.Name+"'"))
		}
	}
	return errs
}

func validateTolerationsKept(is, was []corev1.Toleration, path *field.Path) field.ErrorList {
	have := rules.Seen[corev1.Toleration]{}
	for _, t := range is {
		t.TolerationSeconds = nil
		have.Again(t)
	}
	for _, t := range was {
		t.TolerationSeconds = nil
		if !have.Has(t) {
			return field.ErrorList{field.Forbidden(path, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
}

// validateGatedPlacement: while gated, the choice of nodes may only narrow.
func validateGatedPlacement(p, old *corev1.Pod, spec *field.Path) (errs field.ErrorList) {
	for k, v := range old.Spec.NodeSelector {
		if now, ok := p.Spec.NodeSelector[k]; !ok || now != v {
			errs = append(errs, field.Invalid(spec.Child("nodeSelector"), p.Spec.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
			break
		}
	}
	was, is := requiredNodes(old.Spec.Affinity), requiredNodes(p.Spec.Affinity)
	if was == nil {
		return errs
	}
	at := spec.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	if is == nil || len(is.NodeSelectorTerms) != len(was.NodeSelectorTerms) {
		return append(errs, field.Invalid(at, is, "no additions/deletions to non-empty NodeSelectorTerms list are allowed"))
	}
	for i := range was.NodeSelectorTerms {
		a, b := &was.NodeSelectorTerms[i], &is.NodeSelectorTerms[i]
		if !startsWith(b.MatchExpressions, a.MatchExpressions) || !startsWith(b.MatchFields, a.MatchFields) {
			errs = append(errs, field.Invalid(at.Index(i), b, "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

func startsWith(is, was []corev1.NodeSelectorRequirement) bool {
	return len(is) >= len(was) && equality.Semantic.DeepEqual(is[:len(was)], was)
}

func requiredNodes(a *corev1.Affinity) *corev1.NodeSelector {
	if a == nil || a.NodeAffinity == nil {
		return nil
	}
	return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

// withNodeAffinity is was with the node affinity of is.
func withNodeAffinity(was, is *corev1.Affinity) *corev1.Affinity {
	if is == nil || is.NodeAffinity == nil {
		return was
	}
	out := corev1.Affinity{NodeAffinity: is.NodeAffinity}
	if was != nil {
		out.PodAffinity, out.PodAntiAffinity = was.PodAffinity, was.PodAntiAffinity
	}
	return &out
}

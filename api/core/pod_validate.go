package core

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// ValidatePod judges a new pod.
func ValidatePod(p *corev1.Pod) field.ErrorList {
	spec := field.NewPath("spec")
	errs := ValidatePodSpec(&p.Spec, spec)
	errs = append(errs, validateMirror(p.Annotations, &p.Spec, field.NewPath("metadata", "annotations"))...)
	errs = append(errs, validateSpreadKeys(p.Spec.TopologySpreadConstraints, spec.Child("topologySpreadConstraints"))...)
	if len(p.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(spec.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if p.Spec.NodeName != "" && len(p.Spec.SchedulingGates) > 0 {
		errs = append(errs, field.Forbidden(spec.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return errs
}

// ValidateClaimingTemplate judges the template of a workload whose controller gives each pod
// volumes of its own for claims of these names.
func ValidateClaimingTemplate(t *corev1.PodTemplateSpec, claims []string, path *field.Path) field.ErrorList {
	if len(claims) == 0 {
		return ValidatePodTemplate(t, path)
	}
	have := map[string]bool{"": true}
	for i := range t.Spec.Volumes {
		have[t.Spec.Volumes[i].Name] = true
	}
	whole := *t
	whole.Spec.Volumes = slices.Clone(t.Spec.Volumes)
	for _, name := range claims {
		if have[name] {
			continue // the claim takes the place of the template's volume
		}
		have[name] = true
		source := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
		whole.Spec.Volumes = append(whole.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	}
	return ValidatePodTemplate(&whole, path)
}

// ValidatePodTemplate judges the template inside a workload.
func ValidatePodTemplate(t *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	errs := ValidateLabels(t.Labels, path.Child("labels"))
	if len(t.Annotations) > 0 {
		errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, path.Child("annotations"))...)
	}
	errs = append(errs, ValidatePodSpec(&t.Spec, path.Child("spec"))...)
	errs = append(errs, validateMirror(t.Annotations, &t.Spec, path.Child("annotations"))...)
	errs = append(errs, validateSpreadKeys(t.Spec.TopologySpreadConstraints, path.Child("spec", "topologySpreadConstraints"))...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// validateMirror: what says that it mirrors a static pod says of which node.
func validateMirror(annotations map[string]string, s *corev1.PodSpec, path *field.Path) field.ErrorList {
	if value, mirror := annotations[corev1.MirrorPodAnnotationKey]; mirror && s.NodeName == "" {
		return field.ErrorList{field.Invalid(path.Key(corev1.MirrorPodAnnotationKey), value, "must set spec.nodeName if mirror pod annotation is set")}
	}
	return nil
}

// ValidatePodSpec judges a pod spec wherever it stands.
func ValidatePodSpec(s *corev1.PodSpec, path *field.Path) field.ErrorList {
	pc := newPodContext(s)
	errs := validateVolumes(s.Volumes, path.Child("volumes"))
	errs = append(errs, validateResourceClaims(s.ResourceClaims, path.Child("resourceClaims"))...)
	errs = append(errs, pc.containers(path.Child("containers"))...)
	errs = append(errs, pc.initContainers(path.Child("initContainers"))...)
	errs = append(errs, pc.ephemeral(path.Child("ephemeralContainers"))...)
	errs = append(errs, validatePodLevelResources(s, path)...)
	errs = requireOneOf(errs, s.RestartPolicy, path.Child("restartPolicy"), corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	errs = append(errs, ValidateLabels(s.NodeSelector, path.Child("nodeSelector"))...)
	errs = append(errs, validatePodSecurity(s, path)...)
	errs = append(errs, validateAffinity(s.Affinity, path.Child("affinity"))...)
	errs = append(errs, validateSpread(s.TopologySpreadConstraints, path.Child("topologySpreadConstraints"))...)
	errs = append(errs, ValidateTolerations(s.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, validateDNS(s, path)...)
	errs = append(errs, validateGates(s, path)...)
	errs = append(errs, validateHost(s, path)...)
	return append(errs, validatePodReferences(s, path)...)
}

// validatePodReferences: names of other objects, and numbers with a range.
func validatePodReferences(s *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	for _, r := range [...]struct{ field, name string }{
		{"serviceAccountName", s.ServiceAccountName}, {"nodeName", s.NodeName}, {"priorityClassName", s.PriorityClassName}} {
		if r.name != "" {
			errs = checkSubdomain(errs, r.name, path.Child(r.field))
		}
	}
	if s.RuntimeClassName != nil {
		errs = checkSubdomain(errs, *s.RuntimeClassName, path.Child("runtimeClassName"))
	}
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *d, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	if s.PreemptionPolicy != nil {
		errs = oneOf(errs, *s.PreemptionPolicy, path.Child("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)
	}
	for name, q := range s.Overhead {
		errs = checkContainerResource(errs, name, q, path.Child("overhead"))
	}
	if s.OS != nil {
		errs = append(errs, validateOS(s, path)...)
	}
	return errs
}

func validateGates(s *corev1.PodSpec, path *field.Path) (errs field.ErrorList) {
	for i, g := range s.ReadinessGates {
		errs = checkQualified(errs, string(g.ConditionType), path.Child("readinessGates").Index(i).Child("conditionType"))
	}
	seen := rules.Seen[string]{}
	for i, g := range s.SchedulingGates {
		at := path.Child("schedulingGates").Index(i)
		errs = checkQualified(errs, g.Name, at)
		if seen.Again(g.Name) {
			errs = append(errs, field.Duplicate(at, g.Name))
		}
	}
	return errs
}

func validateResourceClaims(cs []corev1.PodResourceClaim, path *field.Path) (errs field.ErrorList) {
	seen := rules.Seen[string]{}
	for i, c := range cs {
		at := path.Index(i)
		if c.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = checkLabel(errs, c.Name, at.Child("name"))
		}
		if seen.Again(c.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		switch {
		case c.ResourceClaimName != nil && c.ResourceClaimTemplateName != nil:
			errs = append(errs, field.Invalid(at, c, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		case c.ResourceClaimName == nil && c.ResourceClaimTemplateName == nil:
			errs = append(errs, field.Invalid(at, c, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		case c.ResourceClaimName != nil:
			errs = checkSubdomain(errs, *c.ResourceClaimName, at.Child("resourceClaimName"))
		default:
			errs = checkSubdomain(errs, *c.ResourceClaimTemplateName, at.Child("resourceClaimTemplateName"))
		}
	}
	return errs
}

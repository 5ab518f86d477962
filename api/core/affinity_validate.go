package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// ValidateNodeSelector judges a non-nil node selector: terms of requirements.
func ValidateNodeSelector(s *corev1.NodeSelector, path *field.Path) field.ErrorList {
	at := path.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(at, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, validateNodeTerm(&s.NodeSelectorTerms[i], at.Index(i))...)
	}
	return errs
}

func validateNodeTerm(t *corev1.NodeSelectorTerm, path *field.Path) (errs field.ErrorList) {
	for i := range t.MatchExpressions {
		r, p := &t.MatchExpressions[i], path.Child("matchExpressions").Index(i)
		errs = append(errs, validateNodeRequirement(r, p)...)
		errs = checkQualified(errs, r.Key, p.Child("key"))
		for j, v := range r.Values {
			if !isLabelValue(v) && (r.Operator == corev1.NodeSelectorOpIn || r.Operator == corev1.NodeSelectorOpNotIn) {
				errs = append(errs, field.Invalid(p.Child("values").Index(j), v, "must be a valid label value"))
			}
		}
	}
	for i := range t.MatchFields {
		errs = append(errs, validateNodeField(&t.MatchFields[i], path.Child("matchFields").Index(i))...)
	}
	return errs
}

func validateNodeRequirement(r *corev1.NodeSelectorRequirement, p *field.Path) (errs field.ErrorList) {
	values := p.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		} else if _, err := strconv.ParseInt(r.Values[0], 10, 64); err != nil {
			errs = append(errs, field.Invalid(values.Index(0), r.Values[0], "must be an integer when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(p.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	return errs
}

func validateNodeField(r *corev1.NodeSelectorRequirement, p *field.Path) (errs field.ErrorList) {
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(p.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
	default:
		errs = append(errs, field.Invalid(p.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	if r.Key != "metadata.name" {
		return append(errs, field.Invalid(p.Child("key"), r.Key, "not a valid field selector key"))
	}
	for i, v := range r.Values {
		errs = checkSubdomain(errs, v, p.Child("values").Index(i))
	}
	return errs
}

func validateAffinity(a *corev1.Affinity, path *field.Path) (errs field.ErrorList) {
	if a == nil {
		return nil
	}
	if n := a.NodeAffinity; n != nil {
		p := path.Child("nodeAffinity")
		if n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			errs = append(errs, ValidateNodeSelector(n.RequiredDuringSchedulingIgnoredDuringExecution, p.Child("requiredDuringSchedulingIgnoredDuringExecution"))...)
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			t, at := &n.PreferredDuringSchedulingIgnoredDuringExecution[i], p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			errs = checkWeight(errs, t.Weight, at)
			errs = append(errs, validateNodeTerm(&t.Preference, at.Child("preference"))...)
		}
	}
	if x := a.PodAffinity; x != nil {
		errs = append(errs, validatePodTerms(x.RequiredDuringSchedulingIgnoredDuringExecution, x.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAffinity"))...)
	}
	if x := a.PodAntiAffinity; x != nil {
		errs = append(errs, validatePodTerms(x.RequiredDuringSchedulingIgnoredDuringExecution, x.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAntiAffinity"))...)
	}
	return errs
}

func checkWeight(errs field.ErrorList, w int32, at *field.Path) field.ErrorList {
	if w <= 0 || w > 100 {
		errs = append(errs, field.Invalid(at.Child("weight"), w, "must be in the range 1-100"))
	}
	return errs
}

func validatePodTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, path *field.Path) (errs field.ErrorList) {
	for i := range required {
		errs = append(errs, validatePodTerm(&required[i], path.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))...)
	}
	for i := range preferred {
		at := path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		errs = checkWeight(errs, preferred[i].Weight, at)
		errs = append(errs, validatePodTerm(&preferred[i].PodAffinityTerm, at.Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodTerm(t *corev1.PodAffinityTerm, p *field.Path) field.ErrorList {
	errs := ValidateLabelSelector(t.LabelSelector, p.Child("labelSelector"))
	errs = append(errs, ValidateLabelSelector(t.NamespaceSelector, p.Child("namespaceSelector"))...)
	for i, ns := range t.Namespaces {
		errs = checkLabel(errs, ns, p.Child("namespaces").Index(i))
	}
	for _, l := range []struct {
		name string
		keys []string
	}{{"matchLabelKeys", t.MatchLabelKeys}, {"mismatchLabelKeys", t.MismatchLabelKeys}} {
		if len(l.keys) > 0 && t.LabelSelector == nil {
			errs = append(errs, field.Forbidden(p.Child(l.name), "must not be specified when labelSelector is not set"))
		}
		for i, k := range l.keys {
			errs = checkQualified(errs, k, p.Child(l.name).Index(i))
		}
	}
	if len(t.MismatchLabelKeys) > 0 {
		mismatch := rules.Seen[string]{}
		for _, k := range t.MismatchLabelKeys {
			mismatch.Again(k)
		}
		for i, k := range t.MatchLabelKeys {
			if mismatch.Has(k) {
				errs = append(errs, field.Invalid(p.Child("matchLabelKeys").Index(i), k, "exists in both matchLabelKeys and mismatchLabelKeys"))
			}
		}
	}
	if t.TopologyKey == "" {
		return append(errs, field.Required(p.Child("topologyKey"), "can not be empty"))
	}
	return checkQualified(errs, t.TopologyKey, p.Child("topologyKey"))
}

func validateSpread(cs []corev1.TopologySpreadConstraint, path *field.Path) (errs field.ErrorList) {
	type pair struct {
		key  string
		when corev1.UnsatisfiableConstraintAction
	}
	seen := rules.Seen[pair]{}
	for i := range cs {
		c, p := &cs[i], path.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(p.Child("maxSkew"), c.MaxSkew, "must be greater than zero"))
		}
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(p.Child("topologyKey"), "can not be empty"))
		} else {
			errs = checkQualified(errs, c.TopologyKey, p.Child("topologyKey"))
		}
		errs = oneOf(errs, c.WhenUnsatisfiable, p.Child("whenUnsatisfiable"), corev1.DoNotSchedule, corev1.ScheduleAnyway)
		if seen.Again(pair{c.TopologyKey, c.WhenUnsatisfiable}) {
			errs = append(errs, field.Duplicate(p.Child("{topologyKey, whenUnsatisfiable}"), "{"+c.TopologyKey+", "+string(c.WhenUnsatisfiable)+"}"))
		}
		if d := c.MinDomains; d != nil {
			if *d <= 0 {
				errs = append(errs, field.Invalid(p.Child("minDomains"), *d, "must be greater than zero"))
			}
			if c.WhenUnsatisfiable != corev1.DoNotSchedule {
				errs = append(errs, field.Invalid(p.Child("minDomains"), *d, "can only use minDomains if whenUnsatisfiable=DoNotSchedule"))
			}
		}
		if c.NodeAffinityPolicy != nil {
			errs = oneOf(errs, *c.NodeAffinityPolicy, p.Child("nodeAffinityPolicy"), corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)
		}
		if c.NodeTaintsPolicy != nil {
			errs = oneOf(errs, *c.NodeTaintsPolicy, p.Child("nodeTaintsPolicy"), corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)
		}
		errs = append(errs, ValidateLabelSelector(c.LabelSelector, p.Child("labelSelector"))...)
		if len(c.MatchLabelKeys) > 0 && c.LabelSelector == nil {
			errs = append(errs, field.Forbidden(p.Child("matchLabelKeys"), "must not be specified when labelSelector is not set"))
		}
		for j, k := range c.MatchLabelKeys {
			errs = checkQualified(errs, k, p.Child("matchLabelKeys").Index(j))
		}
	}
	return errs
}

// validateSpreadKeys refuses a key that a constraint names twice. It is asked of what is new only: other
// API servers write the values of matchLabelKeys into the selectors of the pods that they keep.
func validateSpreadKeys(cs []corev1.TopologySpreadConstraint, path *field.Path) (errs field.ErrorList) {
	for i := range cs {
		c := &cs[i]
		if len(c.MatchLabelKeys) == 0 || c.LabelSelector == nil {
			continue
		}
		selected := rules.Seen[string]{}
		for k := range c.LabelSelector.MatchLabels {
			selected.Again(k)
		}
		for _, r := range c.LabelSelector.MatchExpressions {
			selected.Again(r.Key)
		}
		for j, k := range c.MatchLabelKeys {
			if selected.Has(k) {
				errs = append(errs, field.Invalid(path.Index(i).Child("matchLabelKeys").Index(j), k, "exists in both matchLabelKeys and labelSelector"))
			}
		}
	}
	return errs
}

// ValidateTolerations judges the tolerations of a pod.
func ValidateTolerations(ts []corev1.Toleration, path *field.Path) (errs field.ErrorList) {
	for i := range ts {
		t, p := &ts[i], path.Index(i)
		if t.Key != "" {
			errs = checkQualified(errs, t.Key, p.Child("key"))
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(p.Child("operator"), t.Operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(p.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			if !isLabelValue(t.Value) {
				errs = append(errs, field.Invalid(p.Child("operator"), t.Value, "must be a valid label value"))
			}
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(p.Child("operator"), *t, "value must be empty when `operator` is 'Exists'"))
			}
		case corev1.TolerationOpLt, corev1.TolerationOpGt:
			if _, err := strconv.ParseInt(t.Value, 10, 64); err != nil {
				errs = append(errs, field.Invalid(p.Child("value"), t.Value, "must be an integer when `operator` is 'Lt' or 'Gt'"))
			}
		default:
			errs = append(errs, field.NotSupported(p.Child("operator"), t.Operator, []corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
		}
		if t.Effect != "" {
			errs = checkEffect(errs, t.Effect, p.Child("effect"))
		}
	}
	return errs
}

func checkEffect(errs field.ErrorList, e corev1.TaintEffect, p *field.Path) field.ErrorList {
	return oneOf(errs, e, p, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
}

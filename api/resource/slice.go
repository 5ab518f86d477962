package resource

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
)

// ValidateDeviceClass checks a class of devices.
func ValidateDeviceClass(c *resourcev1.DeviceClass) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateSelectors(c.Spec.Selectors, spec.Child("selectors"))
	at := spec.Child("config")
	errs = append(errs, atMost(len(c.Spec.Config), resourcev1.DeviceConfigMaxSize, at)...)
	for i := range c.Spec.Config {
		errs = append(errs, validateConfiguration(&c.Spec.Config[i].DeviceConfiguration, at.Index(i))...)
	}
	if n := c.Spec.ExtendedResourceName; n != nil && !core.IsExtended(corev1.ResourceName(*n)) {
		errs = append(errs, field.Invalid(spec.Child("extendedResourceName"), *n, "must be a valid extended resource name"))
	}
	return errs
}

// ValidateResourceSlice checks devices that a driver offers, and on which nodes.
func ValidateResourceSlice(s *resourcev1.ResourceSlice) field.ErrorList {
	spec, sp := field.NewPath("spec"), &s.Spec
	errs := validateDriver(sp.Driver, spec.Child("driver"))
	pool := spec.Child("pool")
	errs = append(errs, validatePool(sp.Pool.Name, pool.Child("name"))...)
	errs = append(errs, rules.NotNegative(sp.Pool.Generation, pool.Child("generation"))...)
	errs = append(errs, rules.Positive(sp.Pool.ResourceSliceCount, pool.Child("resourceSliceCount"))...)
	errs = append(errs, validateNodes(sp, spec)...)
	if len(sp.Devices) > 0 && len(sp.SharedCounters) > 0 {
		errs = append(errs, field.Invalid(spec, field.OmitValueType{}, "only one of `devices` and `sharedCounters` may be set"))
	}
	at, seen := spec.Child("devices"), rules.Seen[string]{}
	errs = append(errs, atMost(len(sp.Devices), resourcev1.ResourceSliceMaxDevices, at)...)
	for i := range sp.Devices {
		d := &sp.Devices[i]
		errs = append(errs, validateDevice(d, at.Index(i))...)
		if seen.Again(d.Name) {
			errs = append(errs, field.Duplicate(at.Index(i).Child("name"), d.Name))
		}
	}
	return append(errs, validateCounters(sp.SharedCounters, spec.Child("sharedCounters"))...)
}

// validateNodes: exactly one way to say which nodes have the devices.
func validateNodes(s *resourcev1.ResourceSliceSpec, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	if s.NodeName != nil {
		n++
		errs = append(errs, subdomain(*s.NodeName, spec.Child("nodeName"))...)
	}
	if s.NodeSelector != nil {
		n++
		at := spec.Child("nodeSelector")
		errs = append(errs, core.ValidateNodeSelector(s.NodeSelector, at)...)
		if len(s.NodeSelector.NodeSelectorTerms) > 1 {
			errs = append(errs, field.Invalid(at.Child("nodeSelectorTerms"), s.NodeSelector.NodeSelectorTerms, "must have exactly one node selector term"))
		}
	}
	for _, f := range []struct {
		name string
		set  *bool
	}{{"allNodes", s.AllNodes}, {"perDeviceNodeSelection", s.PerDeviceNodeSelection}} {
		if f.set == nil {
			continue
		}
		n++
		if !*f.set {
			errs = append(errs, field.Invalid(spec.Child(f.name), false, "must be either unset or set to true"))
		}
	}
	const one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
	switch {
	case n == 0:
		errs = append(errs, field.Required(spec, one))
	case n > 1:
		errs = append(errs, field.Invalid(spec, field.OmitValueType{}, one))
	}
	return errs
}

func validateDevice(d *resourcev1.Device, path *field.Path) field.ErrorList {
	errs := label(d.Name, path.Child("name"))
	errs = append(errs, atMost(len(d.Attributes)+len(d.Capacity), resourcev1.ResourceSliceMaxAttributesAndCapacitiesPerDevice, path)...)
	for name, a := range d.Attributes {
		at := path.Child("attributes").Key(string(name))
		errs = append(errs, validateQualified(string(name), false, at)...)
		errs = append(errs, validateAttribute(&a, at)...)
	}
	for name := range d.Capacity {
		errs = append(errs, validateQualified(string(name), false, path.Child("capacity").Key(string(name)))...)
	}
	taints := path.Child("taints")
	errs = append(errs, atMost(len(d.Taints), resourcev1.DeviceTaintsMaxLength, taints)...)
	for i, t := range d.Taints {
		errs = append(errs, rules.Messages(validation.IsQualifiedName(t.Key), t.Key, taints.Index(i).Child("key"))...)
		errs = append(errs, rules.Messages(validation.IsValidLabelValue(t.Value), t.Value, taints.Index(i).Child("value"))...)
		errs = append(errs, rules.OneOf(t.Effect, taints.Index(i).Child("effect"),
			resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone)...)
	}
	return errs
}

// validateAttribute: one value of one type.
func validateAttribute(a *resourcev1.DeviceAttribute, path *field.Path) field.ErrorList {
	n := 0
	for _, set := range []bool{a.IntValue != nil, a.BoolValue != nil, a.StringValue != nil, a.VersionValue != nil,
		a.IntValues != nil, a.BoolValues != nil, a.StringValues != nil, a.VersionValues != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "exactly one value must be specified")}
	}
	for name, text := range map[string]*string{"string": a.StringValue, "version": a.VersionValue} {
		if text != nil && len(*text) > resourcev1.DeviceAttributeMaxValueLength {
			return field.ErrorList{field.TooLong(path.Child(name), "", resourcev1.DeviceAttributeMaxValueLength)}
		}
	}
	return nil
}

func validateCounters(sets []resourcev1.CounterSet, path *field.Path) field.ErrorList {
	errs := atMost(len(sets), resourcev1.ResourceSliceMaxCounterSets, path)
	seen := rules.Seen[string]{}
	for i, s := range sets {
		errs = append(errs, label(s.Name, path.Index(i).Child("name"))...)
		if seen.Again(s.Name) {
			errs = append(errs, field.Duplicate(path.Index(i).Child("name"), s.Name))
		}
		at := path.Index(i).Child("counters")
		if len(s.Counters) == 0 {
			errs = append(errs, field.Required(at, ""))
		}
		errs = append(errs, atMost(len(s.Counters), resourcev1.ResourceSliceMaxCountersPerCounterSet, at)...)
		for name := range s.Counters {
			errs = append(errs, label(name, at.Key(name))...)
		}
	}
	return errs
}

package resource

import (
	"encoding/json"
	"fmt"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// ask is what a request and each of its alternatives have in common.
type ask struct {
	class       string
	selectors   []resourcev1.DeviceSelector
	mode        *resourcev1.DeviceAllocationMode
	count       *int64
	tolerations []resourcev1.DeviceToleration
}

func askOf(r *resourcev1.ExactDeviceRequest) ask {
	return ask{r.DeviceClassName, r.Selectors, &r.AllocationMode, &r.Count, r.Tolerations}
}

func askOfSub(r *resourcev1.DeviceSubRequest) ask {
	return ask{r.DeviceClassName, r.Selectors, &r.AllocationMode, &r.Count, r.Tolerations}
}

// fill sets the documented defaults: one device, tolerations that compare.
func (a ask) fill() {
	if *a.mode == "" {
		*a.mode = resourcev1.DeviceAllocationModeExactCount
	}
	if *a.mode == resourcev1.DeviceAllocationModeExactCount && *a.count == 0 {
		*a.count = 1
	}
	for i := range a.tolerations {
		if a.tolerations[i].Operator == "" {
			a.tolerations[i].Operator = resourcev1.DeviceTolerationOpEqual
		}
	}
}

func (a ask) validate(path *field.Path) field.ErrorList {
	errs := subdomain(a.class, path.Child("deviceClassName"))
	errs = append(errs, validateSelectors(a.selectors, path.Child("selectors"))...)
	errs = append(errs, rules.OneOf(*a.mode, path.Child("allocationMode"), resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount)...)
	count := path.Child("count")
	switch {
	case *a.mode == resourcev1.DeviceAllocationModeExactCount:
		errs = append(errs, rules.Positive(*a.count, count)...)
	case *a.count != 0:
		errs = append(errs, field.Invalid(count, *a.count, fmt.Sprintf("must not be specified when allocationMode is '%s'", *a.mode)))
	}
	at := path.Child("tolerations")
	errs = append(errs, atMost(len(a.tolerations), resourcev1.DeviceTolerationsMaxLength, at)...)
	for i := range a.tolerations {
		errs = append(errs, validateToleration(&a.tolerations[i], at.Index(i))...)
	}
	return errs
}

func validateToleration(t *resourcev1.DeviceToleration, path *field.Path) field.ErrorList {
	errs := rules.OneOf(t.Operator, path.Child("operator"), resourcev1.DeviceTolerationOpEqual, resourcev1.DeviceTolerationOpExists)
	switch {
	case t.Key != "":
		errs = append(errs, rules.Messages(validation.IsQualifiedName(t.Key), t.Key, path.Child("key"))...)
	case t.Operator != resourcev1.DeviceTolerationOpExists:
		errs = append(errs, field.Invalid(path.Child("operator"), t.Operator, "must be Exists when `key` is empty, which means to match all keys"))
	}
	if t.Operator == resourcev1.DeviceTolerationOpExists && t.Value != "" {
		errs = append(errs, field.Invalid(path.Child("value"), t.Value, "must be empty for operator `Exists`"))
	} else {
		errs = append(errs, rules.Messages(validation.IsValidLabelValue(t.Value), t.Value, path.Child("value"))...)
	}
	if t.Effect != "" {
		errs = append(errs, rules.OneOf(t.Effect, path.Child("effect"), resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule)...)
	}
	return errs
}

func validateSelectors(list []resourcev1.DeviceSelector, path *field.Path) field.ErrorList {
	errs := atMost(len(list), resourcev1.DeviceSelectorsMaxSize, path)
	for i, s := range list {
		at := path.Index(i).Child("cel")
		switch {
		case s.CEL == nil:
			errs = append(errs, field.Required(at, ""))
		case s.CEL.Expression == "":
			errs = append(errs, field.Required(at.Child("expression"), ""))
		case len(s.CEL.Expression) > resourcev1.CELSelectorExpressionMaxLength:
			errs = append(errs, field.TooLong(at.Child("expression"), "", resourcev1.CELSelectorExpressionMaxLength))
		}
	}
	return errs
}

// validateConfiguration checks parameters of a driver, which only it understands.
func validateConfiguration(c *resourcev1.DeviceConfiguration, path *field.Path) field.ErrorList {
	at := path.Child("opaque")
	if c.Opaque == nil {
		return field.ErrorList{field.Required(at, "")}
	}
	errs := validateDriver(c.Opaque.Driver, at.Child("driver"))
	var object map[string]any
	switch raw, at := c.Opaque.Parameters.Raw, at.Child("parameters"); {
	case len(raw) == 0:
		errs = append(errs, field.Required(at, ""))
	case len(raw) > resourcev1.OpaqueParametersMaxLength:
		errs = append(errs, field.TooLong(at, "", resourcev1.OpaqueParametersMaxLength))
	case json.Unmarshal(raw, &object) != nil || object == nil:
		errs = append(errs, field.Invalid(at, "<value omitted>", "parameters must be a valid JSON object"))
	}
	return errs
}

func validateDriver(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if len(name) > resourcev1.DriverNameMaxLength {
		return field.ErrorList{field.TooLong(path, "", resourcev1.DriverNameMaxLength)}
	}
	return rules.Messages(validation.IsDNS1123Subdomain(strings.ToLower(name)), name, path)
}

// validatePool: sub-domains with slashes between them.
func validatePool(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if len(name) > resourcev1.PoolNameMaxLength {
		return field.ErrorList{field.TooLong(path, "", resourcev1.PoolNameMaxLength)}
	}
	var errs field.ErrorList
	for part := range strings.SplitSeq(name, "/") {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(part), part, path)...)
	}
	return errs
}

// validateQualified: the name of an attribute or capacity, with a domain where it must have one.
func validateQualified(name string, domain bool, path *field.Path) field.ErrorList {
	first, id, found := strings.Cut(name, "/")
	if !found {
		if domain {
			return field.ErrorList{field.Invalid(path, name, "must include a domain")}
		}
		first, id = "", name
	}
	var errs field.ErrorList
	if found {
		if len(first) > resourcev1.DeviceMaxDomainLength {
			errs = append(errs, field.TooLong(path, "", resourcev1.DeviceMaxDomainLength))
		}
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(first), first, path)...)
	}
	if len(id) > resourcev1.DeviceMaxIDLength {
		errs = append(errs, field.TooLong(path, "", resourcev1.DeviceMaxIDLength))
	}
	return append(errs, rules.Messages(validation.IsCIdentifier(id), id, path)...)
}

func subdomain(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return rules.Messages(validation.IsDNS1123Subdomain(name), name, path)
}

func label(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return rules.Messages(validation.IsDNS1123Label(name), name, path)
}

func atMost(n, most int, path *field.Path) field.ErrorList {
	if n > most {
		return field.ErrorList{field.TooMany(path, n, most)}
	}
	return nil
}

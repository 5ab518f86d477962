package resource

import (
	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// DefaultResourceClaim fills in the documented defaults.
func DefaultResourceClaim(c *resourcev1.ResourceClaim) { defaultClaim(&c.Spec) }

// DefaultResourceClaimTemplate fills in those of the claims to be made.
func DefaultResourceClaimTemplate(t *resourcev1.ResourceClaimTemplate) { defaultClaim(&t.Spec.Spec) }

func defaultClaim(s *resourcev1.ResourceClaimSpec) {
	for i := range s.Devices.Requests {
		r := &s.Devices.Requests[i]
		if r.Exactly != nil {
			askOf(r.Exactly).fill()
		}
		for j := range r.FirstAvailable {
			askOfSub(&r.FirstAvailable[j]).fill()
		}
	}
}

// ValidateResourceClaim checks what is claimed. Whether the expressions of selectors compile is not asked here.
func ValidateResourceClaim(c *resourcev1.ResourceClaim) field.ErrorList {
	return validateClaim(&c.Spec.Devices, field.NewPath("spec", "devices"))
}

// ValidateResourceClaimTemplate checks the claims to be made.
func ValidateResourceClaimTemplate(t *resourcev1.ResourceClaimTemplate) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Spec.Labels, field.NewPath("spec", "metadata", "labels"))
	return append(errs, validateClaim(&t.Spec.Spec.Devices, field.NewPath("spec", "spec", "devices"))...)
}

func validateClaim(d *resourcev1.DeviceClaim, path *field.Path) field.ErrorList {
	at, named := path.Child("requests"), rules.Seen[string]{}
	errs := atMost(len(d.Requests), resourcev1.DeviceRequestsMaxSize, at)
	for i := range d.Requests {
		errs = append(errs, validateRequest(&d.Requests[i], named, at.Index(i))...)
	}
	at = path.Child("constraints")
	errs = append(errs, atMost(len(d.Constraints), resourcev1.DeviceConstraintsMaxSize, at)...)
	for i, c := range d.Constraints {
		errs = append(errs, validateNamed(c.Requests, named, at.Index(i).Child("requests"))...)
		switch {
		case c.MatchAttribute != nil:
			errs = append(errs, validateQualified(string(*c.MatchAttribute), true, at.Index(i).Child("matchAttribute"))...)
		case c.DistinctAttribute != nil:
			errs = append(errs, validateQualified(string(*c.DistinctAttribute), true, at.Index(i).Child("distinctAttribute"))...)
		default:
			errs = append(errs, field.Required(at.Index(i), "exactly one of `matchAttribute` or `distinctAttribute` is required"))
		}
	}
	at = path.Child("config")
	errs = append(errs, atMost(len(d.Config), resourcev1.DeviceConfigMaxSize, at)...)
	for i := range d.Config {
		errs = append(errs, validateNamed(d.Config[i].Requests, named, at.Index(i).Child("requests"))...)
		errs = append(errs, validateConfiguration(&d.Config[i].DeviceConfiguration, at.Index(i))...)
	}
	return errs
}

// validateRequest checks one request and adds its name, and those of its alternatives, to named.
func validateRequest(r *resourcev1.DeviceRequest, named rules.Seen[string], path *field.Path) field.ErrorList {
	errs := label(r.Name, path.Child("name"))
	if r.Name != "" && named.Again(r.Name) {
		errs = append(errs, field.Duplicate(path.Child("name"), r.Name))
	}
	switch {
	case r.Exactly == nil && len(r.FirstAvailable) == 0:
		return append(errs, field.Required(path, "exactly one of `exactly` or `firstAvailable` is required"))
	case r.Exactly != nil && len(r.FirstAvailable) > 0:
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "exactly one of `exactly` or `firstAvailable` is required"))
	}
	if r.Exactly != nil {
		errs = append(errs, askOf(r.Exactly).validate(path.Child("exactly"))...)
	}
	at := path.Child("firstAvailable")
	errs = append(errs, atMost(len(r.FirstAvailable), resourcev1.FirstAvailableDeviceRequestMaxSize, at)...)
	for i := range r.FirstAvailable {
		sub := &r.FirstAvailable[i]
		errs = append(errs, label(sub.Name, at.Index(i).Child("name"))...)
		if sub.Name != "" && named.Again(r.Name+"/"+sub.Name) {
			errs = append(errs, field.Duplicate(at.Index(i).Child("name"), sub.Name))
		}
		errs = append(errs, askOfSub(sub).validate(at.Index(i))...)
	}
	return errs
}

const notNamed = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

// validateNamed: requests of this claim, each once.
func validateNamed(list []string, named rules.Seen[string], path *field.Path) field.ErrorList {
	errs := atMost(len(list), resourcev1.DeviceRequestsMaxSize, path)
	seen := rules.Seen[string]{}
	for i, name := range list {
		switch {
		case seen.Again(name):
			errs = append(errs, field.Duplicate(path.Index(i), name))
		case !named.Has(name):
			errs = append(errs, field.Invalid(path.Index(i), name, notNamed))
		}
	}
	return errs
}

// ValidateResourceClaimStatus checks what was allocated and for whom it is held.
func ValidateResourceClaimStatus(c, old *resourcev1.ResourceClaim) field.ErrorList {
	path, s := field.NewPath("status"), &c.Status
	var errs field.ErrorList
	if s.Allocation != nil {
		at := path.Child("allocation")
		if old.Status.Allocation != nil && !apiequality.Semantic.DeepEqual(s.Allocation, old.Status.Allocation) {
			errs = append(errs, field.Invalid(at, field.OmitValueType{}, rules.Immutable))
		}
		errs = append(errs, validateResults(c, at.Child("devices", "results"))...)
	}
	at := path.Child("reservedFor")
	errs = append(errs, atMost(len(s.ReservedFor), resourcev1.ResourceClaimReservedForMaxSize, at)...)
	if s.Allocation == nil && len(s.ReservedFor) > 0 {
		errs = append(errs, field.Forbidden(at, "may not be specified when `allocated` is not set"))
	}
	seen := rules.Seen[string]{}
	for i, r := range s.ReservedFor {
		for _, f := range [][2]string{{"resource", r.Resource}, {"name", r.Name}, {"uid", string(r.UID)}} {
			if f[1] == "" {
				errs = append(errs, field.Required(at.Index(i).Child(f[0]), ""))
			}
		}
		if seen.Again(string(r.UID)) {
			errs = append(errs, field.Duplicate(at.Index(i).Child("uid"), r.UID))
		}
	}
	return errs
}

func validateResults(c *resourcev1.ResourceClaim, path *field.Path) field.ErrorList {
	list, named := c.Status.Allocation.Devices.Results, rules.Seen[string]{}
	for i := range c.Spec.Devices.Requests {
		r := &c.Spec.Devices.Requests[i]
		named.Again(r.Name)
		for j := range r.FirstAvailable {
			named.Again(r.Name + "/" + r.FirstAvailable[j].Name)
		}
	}
	errs := atMost(len(list), resourcev1.AllocationResultsMaxSize, path)
	for i, r := range list {
		at := path.Index(i)
		if !named.Has(r.Request) {
			errs = append(errs, field.Invalid(at.Child("request"), r.Request, notNamed))
		}
		errs = append(errs, validateDriver(r.Driver, at.Child("driver"))...)
		errs = append(errs, validatePool(r.Pool, at.Child("pool"))...)
		errs = append(errs, label(r.Device, at.Child("device"))...)
	}
	return errs
}

package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// IsHugePage reports whether name is hugepages-<size>.
func IsHugePage(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// IsExtended reports whether name is a node resource that somebody else defines
// (example.com/device).
func IsExtended(name corev1.ResourceName) bool {
	s := string(name)
	if !strings.Contains(s, "/") || isNative(s) || strings.HasPrefix(s, corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	return isQualifiedName(corev1.DefaultResourceRequestsPrefix + s)
}

// isNative: unprefixed, or of the kubernetes.io domain.
func isNative(s string) bool {
	return !strings.Contains(s, "/") || strings.Contains(s, corev1.ResourceDefaultNamespacePrefix)
}

func isStandardContainerResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return IsHugePage(name)
}

// overcommit tells whether requests may stay below limits.
func overcommit(name corev1.ResourceName) bool {
	return isNative(string(name)) && !IsHugePage(name)
}

func validateResourceRequirements(r *corev1.ResourceRequirements, path *field.Path, claims map[string]bool) (errs field.ErrorList) {
	if len(r.Limits) == 0 && len(r.Requests) == 0 && len(r.Claims) == 0 {
		return nil
	}
	lims, reqs := path.Child("limits"), path.Child("requests")
	huge, plain := false, false
	look := func(name corev1.ResourceName) {
		huge = huge || IsHugePage(name)
		plain = plain || name == corev1.ResourceCPU || name == corev1.ResourceMemory
	}
	for name, q := range r.Limits {
		look(name)
		errs = checkContainerResource(errs, name, q, lims)
	}
	for name, q := range r.Requests {
		look(name)
		errs = checkContainerResource(errs, name, q, reqs)
		limit, limited := r.Limits[name]
		switch {
		case limited && q.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(reqs, q.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		case limited && !overcommit(name) && q.Cmp(limit) != 0:
			errs = append(errs, field.Invalid(reqs, q.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String())))
		case !limited && !overcommit(name):
			errs = append(errs, field.Required(lims, "Limit must be set for non overcommitable resources"))
		}
	}
	if huge && !plain {
		errs = append(errs, field.Forbidden(path, "HugePages require cpu or memory"))
	}
	return append(errs, validateClaimUses(r.Claims, path.Child("claims"), claims)...)
}

func validateClaimUses(uses []corev1.ResourceClaim, path *field.Path, claims map[string]bool) (errs field.ErrorList) {
	seen := make(map[string]bool, len(uses))
	for i, c := range uses {
		p := path.Index(i)
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case seen[c.Name+"/"+c.Request]:
			errs = append(errs, field.Duplicate(p, c.Name))
		case !claims[c.Name]:
			errs = append(errs, field.NotFound(p.Child("name"), c.Name))
		}
		seen[c.Name+"/"+c.Request] = true
	}
	return errs
}

func checkContainerResource(errs field.ErrorList, name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	if isStandardContainerResource(name) {
		if q.Sign() >= 0 && !IsHugePage(name) {
			return errs
		}
		return checkPages(checkQuantity(errs, name, q, path.Key(string(name))), name, q, path.Key(string(name)))
	}
	p := path.Key(string(name))
	errs = validateResourceName(errs, name, p)
	if isNative(string(name)) {
		errs = append(errs, field.Invalid(p, name, "must be a standard resource for containers"))
	} else if !IsExtended(name) {
		errs = append(errs, field.Invalid(p, name, "doesn't follow extended resource name standard"))
	}
	return checkQuantity(errs, name, q, p)
}

// checkPages: a container gets whole huge pages.
func checkPages(errs field.ErrorList, name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	if IsHugePage(name) && err == nil && size.Value() > 0 && q.MilliValue()%1000 == 0 && q.Value()%size.Value() != 0 {
		errs = append(errs, field.Invalid(path, q.String(), "must be a multiple of the page size, "+size.String()))
	}
	return errs
}

// validateResourceName: a qualified name, and without a domain a well-known one.
func validateResourceName(errs field.ErrorList, name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs = checkName(errs, string(name), path, isQualifiedName, validation.IsQualifiedName)
	if !strings.Contains(string(name), "/") && !isStandardResource(name) {
		errs = append(errs, field.Invalid(path, name, "must be a standard resource type or fully qualified"))
	}
	return errs
}

func isStandardResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourceStorage, corev1.ResourcePods:
		return true
	}
	return IsHugePage(name) || isQuotaResource(name)
}

// checkQuantity: not negative, and whole where halves mean nothing.
func checkQuantity(errs field.ErrorList, name corev1.ResourceName, q resource.Quantity, path *field.Path) field.ErrorList {
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(path, q.String(), notNegative))
	}
	whole := IsHugePage(name) || IsExtended(name) || isCountedResource(name)
	if whole && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, q.String(), "must be an integer"))
	}
	return errs
}

// validatePodLevelResources judges spec.resources.
func validatePodLevelResources(s *corev1.PodSpec, spec *field.Path) (errs field.ErrorList) {
	r, path := s.Resources, spec.Child("resources")
	if r == nil {
		return nil
	}
	if len(r.Claims) > 0 {
		errs = append(errs, field.Forbidden(path.Child("claims"), "claims cannot be set for Resources at pod-level"))
	}
	for _, l := range []struct {
		list corev1.ResourceList
		path *field.Path
	}{{r.Limits, path.Child("limits")}, {r.Requests, path.Child("requests")}} {
		for name := range l.list {
			if name != corev1.ResourceCPU && name != corev1.ResourceMemory && !IsHugePage(name) {
				errs = append(errs, field.NotSupported(l.path, name, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceHugePagesPrefix}))
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	bare := corev1.ResourceRequirements{Limits: r.Limits, Requests: r.Requests}
	errs = validateResourceRequirements(&bare, path, nil)
	sum := SumRequests(s)
	for name, q := range r.Requests {
		if have, ok := sum[name]; ok && have.Cmp(q) > 0 {
			errs = append(errs, field.Invalid(path.Child("requests").Key(string(name)), q.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", have.String())))
		}
	}
	for i := range s.Containers {
		for name, q := range s.Containers[i].Resources.Limits {
			if limit, ok := r.Limits[name]; ok && q.Cmp(limit) > 0 {
				errs = append(errs, field.Invalid(spec.Child("containers").Index(i).Child("resources", "limits").Key(string(name)), q.String(),
					fmt.Sprintf("must be less than or equal to pod limits of %s", limit.String())))
			}
		}
	}
	return errs
}

package networking

import (
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

// validateReference checks what names an object of any kind: a group that may be one, a kind and a name
// that fit into a URL.
func validateReference(group *string, kind, name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if group != nil && *group != "" {
		errs = append(errs, rules.Messages(validation.IsDNS1123Subdomain(*group), *group, path.Child("apiGroup"))...)
	}
	errs = append(errs, validateSegment(kind, path.Child("kind"))...)
	return append(errs, validateSegment(name, path.Child("name"))...)
}

// validateSegment checks a part of a URL that must be there.
func validateSegment(text string, path *field.Path) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return rules.Messages(pathvalidation.IsValidPathSegmentName(text), text, path)
}

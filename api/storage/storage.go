// Package storage is the behaviour of the kinds of storage.k8s.io/v1: defaults,
// validation and columns, one file per kind. Pure functions on the published types.
package storage

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/rules"
)

const (
	maxDriverName      = 63
	maxParameters      = 512
	maxParametersBytes = 256 * 1024
	maxNodeID          = 256
	maxAttachmentBytes = 256 * 1024
	maxErrorBytes      = 1024
)

// validateDriver checks the name of a CSI driver.
func validateDriver(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	if len(name) > maxDriverName {
		errs = append(errs, field.TooLong(path, "", maxDriverName))
	}
	return append(errs, rules.Messages(validation.IsDNS1123Subdomain(strings.ToLower(name)), name, path)...)
}

// validateParameters checks a set of opaque driver parameters.
func validateParameters(params map[string]string, needed bool, path *field.Path) field.ErrorList {
	if needed && len(params) == 0 {
		return field.ErrorList{field.Required(path, "must contain at least one key/value pair")}
	}
	var errs field.ErrorList
	if len(params) > maxParameters {
		errs = append(errs, field.TooLong(path, "", maxParameters))
	}
	size := 0
	for k, v := range params {
		if k == "" {
			errs = append(errs, field.Invalid(path, k, "field can not be empty."))
		}
		size += len(k) + len(v)
	}
	if size > maxParametersBytes {
		errs = append(errs, field.TooLong(path, "", maxParametersBytes))
	}
	return errs
}

func orDefault[V any](p **V, v V) {
	if *p == nil {
		*p = &v
	}
}

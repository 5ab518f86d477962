package core

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkName appends a finding for each complaint about value; ok is the fast
// matcher of the same grammar, which settles the common case.
func checkName(errs field.ErrorList, value string, path *field.Path, ok func(string) bool, complaints func(string) []string) field.ErrorList {
	if ok(value) {
		return errs
	}
	for _, msg := range complaints(value) {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

func checkLabel(errs field.ErrorList, v string, path *field.Path) field.ErrorList {
	return checkName(errs, v, path, isDNSLabel, validation.IsDNS1123Label)
}

func checkSubdomain(errs field.ErrorList, v string, path *field.Path) field.ErrorList {
	return checkName(errs, v, path, isDNSSubdomain, validation.IsDNS1123Subdomain)
}

func checkQualified(errs field.ErrorList, v string, path *field.Path) field.ErrorList {
	return checkName(errs, v, path, isQualifiedName, validation.IsQualifiedName)
}

func checkKey(errs field.ErrorList, v string, path *field.Path) field.ErrorList {
	return checkName(errs, v, path, isConfigKey, validation.IsConfigMapKey)
}

// isDNSLabel matches RFC 1123 labels.
func isDNSLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !lowerAlnum(c) && c != '-' {
			return false
		}
	}
	return true
}

// isDNSSubdomain matches RFC 1123 subdomains; a part may be longer than 63.
func isDNSSubdomain(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	edge := true // the byte before was a dot or the start
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case lowerAlnum(c):
			edge = false
		case c == '-':
			if edge {
				return false
			}
		case c == '.':
			if edge || s[i-1] == '-' {
				return false
			}
			edge = true
		default:
			return false
		}
	}
	return !edge && s[len(s)-1] != '-'
}

// isQualifiedName matches label keys: an optional DNS prefix, a slash and a name.
func isQualifiedName(s string) bool {
	prefix, name, found := strings.Cut(s, "/")
	if !found {
		return isLabelWord(s)
	}
	return isDNSSubdomain(prefix) && isLabelWord(name)
}

// isLabelValue matches label values, which may be empty.
func isLabelValue(s string) bool { return s == "" || isLabelWord(s) }

func isLabelWord(s string) bool {
	if len(s) == 0 || len(s) > 63 || !alnum(s[0]) || !alnum(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !alnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// isConfigKey matches keys of config maps and secrets.
func isConfigKey(s string) bool {
	if len(s) == 0 || len(s) > 253 || s[0] == '.' && (len(s) == 1 || s[1] == '.') {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !alnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// isEnvName is a cautious subset of what environment names may be.
func isEnvName(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !alnum(c) && c != '_' {
			return false
		}
	}
	return true
}

func lowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
func alnum(c byte) bool      { return lowerAlnum(c) || 'A' <= c && c <= 'Z' }

// ValidateLabels judges a map of labels.
func ValidateLabels(l map[string]string, path *field.Path) field.ErrorList {
	for k, v := range l {
		if !isQualifiedName(k) || !isLabelValue(v) {
			return metavalidation.ValidateLabels(l, path)
		}
	}
	return nil
}

// ValidateLabelSelector judges a selector; nil is fine.
func ValidateLabelSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	fine := len(s.MatchExpressions) == 0
	for k, v := range s.MatchLabels {
		fine = fine && isQualifiedName(k) && isLabelValue(v)
	}
	if fine {
		return nil
	}
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

// requireOneOf reports an unknown or missing value of an enumeration.
func requireOneOf[T ~string](errs field.ErrorList, v T, path *field.Path, allowed ...T) field.ErrorList {
	if v == "" {
		return append(errs, field.Required(path, ""))
	}
	for _, a := range allowed {
		if v == a {
			return errs
		}
	}
	return append(errs, field.NotSupported(path, v, append([]T(nil), allowed...)))
}

// oneOf reports an unknown value; an empty one is unknown too.
func oneOf[T ~string](errs field.ErrorList, v T, path *field.Path, allowed ...T) field.ErrorList {
	for _, a := range allowed {
		if v == a {
			return errs
		}
	}
	return append(errs, field.NotSupported(path, v, append([]T(nil), allowed...)))
}

const notNegative = "must be greater than or equal to 0"

func checkNotNegative(errs field.ErrorList, v int64, path *field.Path) field.ErrorList {
	if v < 0 {
		errs = append(errs, field.Invalid(path, v, notNegative))
	}
	return errs
}

func immutable(errs field.ErrorList, same bool, v any, path *field.Path) field.ErrorList {
	if !same {
		errs = append(errs, field.Invalid(path, v, "field is immutable"))
	}
	return errs
}

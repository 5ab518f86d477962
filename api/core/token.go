package core

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DefaultTokenRequest completes a request for a service-account token.
func DefaultTokenRequest(s *authenticationv1.TokenRequestSpec, audiences []string) {
	if len(s.Audiences) == 0 {
		s.Audiences = audiences
	}
	setPtr(&s.ExpirationSeconds, int64(3600))
}

// ValidateTokenRequest judges the lifetime that was asked for.
func ValidateTokenRequest(r *authenticationv1.TokenRequest) (errs field.ErrorList) {
	path := field.NewPath("spec")
	errs = validateLifetime(*r.Spec.ExpirationSeconds, path.Child("expirationSeconds"))
	if ref := r.Spec.BoundObjectRef; ref != nil {
		errs = requireText(errs, ref.Name, path.Child("boundObjectRef", "name"))
	}
	return errs
}

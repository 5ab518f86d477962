package authz

import (
	"context"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"

	"hyperkube/apiserver/request"
)

// MaySigner reports whether the user has the verb (approve, sign, attest) on the
// signer, by its name or by all signers of its domain ("example.com/*").
func MaySigner(ctx context.Context, auth request.Authorizer, u *request.User, verb, signer string) bool {
	names := []string{signer}
	if domain, _, ok := strings.Cut(signer, "/"); ok {
		names = append(names, domain+"/*")
	}
	for _, name := range names {
		d, _, err := auth.Authorize(ctx, u, &request.Info{
			IsResource: true, Verb: verb, APIPrefix: "apis", Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: name,
		})
		if err == nil && d == request.Allow {
			return true
		}
	}
	return false
}

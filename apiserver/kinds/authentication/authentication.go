// Package authentication declares the kinds of authentication.k8s.io/v1. They
// are answered, never stored.
package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
)

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		selfSubjectReview(),
		tokenReview(),
	}
}

// userInfo renders a user as the reviews do.
func userInfo(u *request.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if info.Extra == nil {
			info.Extra = make(map[string]authenticationv1.ExtraValue, len(u.Extra))
		}
		info.Extra[k] = v
	}
	return info
}

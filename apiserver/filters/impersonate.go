package filters

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	impersonateUser  = "Impersonate-User"
	impersonateGroup = "Impersonate-Group"
	impersonateUID   = "Impersonate-Uid"
	impersonateExtra = "Impersonate-Extra-"
)

// impersonate lets a user act as another where the authorizer allows it.
func impersonate(a request.Authorizer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			want := wanted(r.Header)
			if want == nil {
				next.ServeHTTP(w, r)
				return
			}
			if want.Name == "" {
				codec.WriteError(w, r, apierrors.NewBadRequest("requested to impersonate without impersonating a user"))
				return
			}
			by := request.UserFrom(r.Context())
			for _, check := range checks(want) {
				if err := allowed(r.Context(), a, by, check, nil); err != nil {
					trailOf(r.Context()).refused = want.Name
					codec.WriteError(w, r, err)
					return
				}
			}
			complete(want)
			trailOf(r.Context()).as = want
			r = r.WithContext(request.WithUser(r.Context(), want))
			for k := range r.Header {
				if strings.HasPrefix(k, "Impersonate-") {
					delete(r.Header, k)
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// wanted reads whom the headers name; nil when they name nobody.
func wanted(h http.Header) *request.User {
	u := &request.User{Name: h.Get(impersonateUser), UID: h.Get(impersonateUID), Groups: slices.Clone(h[impersonateGroup])}
	asked := u.Name != "" || u.UID != "" || len(u.Groups) > 0
	for k, v := range h {
		if key, ok := strings.CutPrefix(k, impersonateExtra); ok {
			if un, err := url.PathUnescape(key); err == nil {
				key = un
			}
			if u.Extra == nil {
				u.Extra = map[string][]string{}
			}
			u.Extra[strings.ToLower(key)] = v
			asked = true
		}
	}
	if !asked {
		return nil
	}
	return u
}

// checks are the permissions that acting as u takes.
func checks(u *request.User) []*request.Info {
	as := func(group, resource, sub, namespace, name string) *request.Info {
		version := "v1"
		return &request.Info{IsResource: true, Verb: "impersonate", Group: group, Version: version,
			Resource: resource, Subresource: sub, Namespace: namespace, Name: name}
	}
	var list []*request.Info
	if ns, name, ok := serviceAccount(u.Name); ok {
		list = append(list, as("", "serviceaccounts", "", ns, name))
	} else {
		list = append(list, as("", "users", "", "", u.Name))
	}
	for _, g := range u.Groups {
		list = append(list, as("", "groups", "", "", g))
	}
	if u.UID != "" {
		list = append(list, as("authentication.k8s.io", "uids", "", "", u.UID))
	}
	for key, values := range u.Extra {
		for _, v := range values {
			list = append(list, as("authentication.k8s.io", "userextras", key, "", v))
		}
	}
	return list
}

func serviceAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, request.ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// complete adds the groups that go without saying.
func complete(u *request.User) {
	if ns, _, ok := serviceAccount(u.Name); ok && len(u.Groups) == 0 {
		u.Groups = []string{request.GroupServiceAccounts, fmt.Sprintf("%s:%s", request.GroupServiceAccounts, ns)}
	}
	group := request.GroupAuthenticated
	if u.Name == request.Anonymous {
		group = request.GroupUnauthenticated
	}
	if !u.In(request.GroupAuthenticated) && !u.In(request.GroupUnauthenticated) {
		u.Groups = append(u.Groups, group)
	}
}

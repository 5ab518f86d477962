// Package request is what every stop of a request knows about it: who asks, for
// what, and where in the API it points. Filters fill it in, verbs, admission,
// authorization and audit read it. It has no behaviour of its own and imports
// nothing of the server.
package request

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// User is an authenticated identity.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Well-known names and groups.
const (
	Anonymous            = "system:anonymous"
	GroupAuthenticated   = "system:authenticated"
	GroupUnauthenticated = "system:unauthenticated"
	GroupMasters         = "system:masters"
	GroupNodes           = "system:nodes"
	GroupServiceAccounts = "system:serviceaccounts"
	NodeUserPrefix       = "system:node:"
	ServiceAccountPrefix = "system:serviceaccount:"
)

// In reports whether the user is in group.
func (u *User) In(group string) bool {
	for _, g := range u.Groups {
		if g == group {
			return true
		}
	}
	return false
}

// Info is a parsed request line. For a path outside the API only Verb (the
// lower-case HTTP method) and Path are set and IsResource is false.
type Info struct {
	IsResource  bool
	Path        string
	Verb        string // get list watch create update patch delete deletecollection, or lower-case method
	APIPrefix   string // "api" or "apis"
	Group       string
	Version     string
	Namespace   string
	Resource    string
	Subresource string
	Name        string
	// Rest is what follows the subresource: the path given to proxy.
	Rest string
	// FieldSelector and LabelSelector are the raw query values of list, watch
	// and deletecollection; the Node authorizer needs the first one.
	FieldSelector, LabelSelector string
}

// GVR of the request.
func (i *Info) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: i.Group, Version: i.Version, Resource: i.Resource}
}

// Authenticator says who sent the request. ok is false when it has no opinion;
// an error means credentials were given and are bad (401).
type Authenticator interface {
	Authenticate(r *http.Request) (u *User, ok bool, err error)
}

// Decision of an authorizer.
type Decision int

const (
	NoOpinion Decision = iota // the next one is asked; nobody's opinion is a denial
	Allow
	Deny
)

// Authorizer decides whether user may do what info says. reason is for the
// user of a denied request and for the audit log.
type Authorizer interface {
	Authorize(ctx context.Context, u *User, info *Info) (d Decision, reason string, err error)
}

// RuleLister is implemented by authorizers that can enumerate what a user may
// do in a namespace (SelfSubjectRulesReview).
type RuleLister interface {
	Rules(ctx context.Context, u *User, namespace string) (resource []ResourceRule, nonResource []NonResourceRule, incomplete bool, err error)
}

// ResourceRule and NonResourceRule mirror authorization.k8s.io's rule types.
type ResourceRule struct{ Verbs, APIGroups, Resources, ResourceNames []string }
type NonResourceRule struct{ Verbs, NonResourceURLs []string }

type key int

const (
	userKey key = iota
	infoKey
	warnKey
	auditKey
	accountKey
)

func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, userKey, u)
}
func WithInfo(ctx context.Context, i *Info) context.Context {
	return context.WithValue(ctx, infoKey, i)
}

// WithAccount says for whom a request that takes long is counted.
func WithAccount(ctx context.Context, account string) context.Context {
	return context.WithValue(ctx, accountKey, account)
}

// AccountFrom is empty inside the process, where nobody shares anything out.
func AccountFrom(ctx context.Context) string {
	account, _ := ctx.Value(accountKey).(string)
	return account
}

// Known is the user that was set, if one was.
func Known(ctx context.Context) (*User, bool) {
	u, ok := ctx.Value(userKey).(*User)
	return u, ok
}

// UserFrom returns the requester, never nil: anonymous when nobody was set.
func UserFrom(ctx context.Context) *User {
	if u, ok := ctx.Value(userKey).(*User); ok {
		return u
	}
	return &User{Name: Anonymous, Groups: []string{GroupUnauthenticated}}
}

// InfoFrom returns the parsed request, or nil outside a request.
func InfoFrom(ctx context.Context) *Info {
	i, _ := ctx.Value(infoKey).(*Info)
	return i
}

// WithWarnings installs the collector for Warning headers.
func WithWarnings(ctx context.Context, add func(string)) context.Context {
	return context.WithValue(ctx, warnKey, add)
}

// Warn adds a Warning header (RFC 7234, 299) to the response under way.
func Warn(ctx context.Context, text string) {
	if add, ok := ctx.Value(warnKey).(func(string)); ok {
		add(text)
	}
}

// WithAudit installs the collector of audit annotations.
func WithAudit(ctx context.Context, add func(key, value string)) context.Context {
	return context.WithValue(ctx, auditKey, add)
}

// Annotate notes something for the audit event of the request under way.
func Annotate(ctx context.Context, key, value string) {
	if add, ok := ctx.Value(auditKey).(func(key, value string)); ok {
		add(key, value)
	}
}

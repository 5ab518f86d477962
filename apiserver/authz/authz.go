// Package authz decides whether a user may do what a request asks for.
//
//	Union ──▶ Node (kubelets: what the pods on their node need)
//	     └──▶ RBAC (roles and bindings) ──▶ nobody's opinion is a denial
//
// Contract:
//   - Deciders read the store's snapshots and hold no client. Node asks the store
//     on every question (the index on spec.nodeName makes that cheap), so it is
//     never behind. RBAC keeps an index by subject that Run feeds from watches;
//     before Run has it complete, every question is answered from lists.
//   - An answer for system:masters costs no lookup at all.
//   - Reasons name bindings and roles; they go to audit logs and denied users.
package authz

import (
	"context"
	"errors"
	"strings"

	"hyperkube/apiserver/request"
)

// union asks its members in order; the first opinion counts.
type union []request.Authorizer

var (
	_ request.Authorizer = union(nil)
	_ request.RuleLister = union(nil)
)

// Authorize implements request.Authorizer.
func (a union) Authorize(ctx context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	var reasons []string
	var errs []error
	for _, m := range a {
		d, reason, err := m.Authorize(ctx, u, i)
		if d != request.NoOpinion {
			return d, reason, err
		}
		if err != nil {
			errs = append(errs, err)
		}
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return request.NoOpinion, strings.Join(reasons, "\n"), errors.Join(errs...)
}

// Rules gathers those of all members that can list them.
func (a union) Rules(ctx context.Context, u *request.User, namespace string) (res []request.ResourceRule, non []request.NonResourceRule, incomplete bool, err error) {
	var errs []error
	for _, m := range a {
		l, ok := m.(request.RuleLister)
		if !ok {
			incomplete = true
			continue
		}
		r, n, inc, err := l.Rules(ctx, u, namespace)
		res, non, incomplete = append(res, r...), append(non, n...), incomplete || inc
		if err != nil {
			errs = append(errs, err)
		}
	}
	return res, non, incomplete, errors.Join(errs...)
}

// AlwaysAllow is the authorizer of --authorization-mode=AlwaysAllow.
func AlwaysAllow() request.Authorizer { return always{} }

type always struct{}

func (always) Authorize(context.Context, *request.User, *request.Info) (request.Decision, string, error) {
	return request.Allow, "", nil
}

func (always) Rules(context.Context, *request.User, string) ([]request.ResourceRule, []request.NonResourceRule, bool, error) {
	all := []string{"*"}
	return []request.ResourceRule{{Verbs: all, APIGroups: all, Resources: all}}, []request.NonResourceRule{{Verbs: all, NonResourceURLs: all}}, false, nil
}

// Package authorization declares the kinds of authorization.k8s.io/v1: questions
// to the server's authorizer, answered and never stored.
package authorization

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
)

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		localSubjectAccessReview(),
		selfSubjectAccessReview(),
		selfSubjectRulesReview(),
		subjectAccessReview(),
	}
}

func names(kindName, plural, singular string, namespaced bool) kind.Names {
	return kind.Names{
		Group: authorizationv1.GroupName, Version: "v1", Kind: kindName, Plural: plural, Singular: singular, Namespaced: namespaced,
	}
}

// question turns the attributes of a review into what the authorizer reads.
func question(r *authorizationv1.ResourceAttributes, other *authorizationv1.NonResourceAttributes) *request.Info {
	if r == nil {
		return &request.Info{Verb: other.Verb, Path: other.Path}
	}
	return &request.Info{
		IsResource: true, Verb: r.Verb, Group: r.Group, Version: r.Version, Namespace: r.Namespace,
		Resource: r.Resource, Subresource: r.Subresource, Name: r.Name,
	}
}

// answer asks the authorizer.
func answer(ctx context.Context, env kind.Env, u *request.User, info *request.Info) authorizationv1.SubjectAccessReviewStatus {
	d, reason, err := env.Authorizer().Authorize(ctx, u, info)
	s := authorizationv1.SubjectAccessReviewStatus{Allowed: d == request.Allow, Denied: d == request.Deny, Reason: reason}
	if err != nil {
		s.EvaluationError = err.Error()
	}
	return s
}

// validateSubject checks who a review is about.
func validateSubject(s *authorizationv1.SubjectAccessReviewSpec, spec *field.Path) field.ErrorList {
	if s.User == "" && len(s.Groups) == 0 {
		return field.ErrorList{field.Invalid(spec.Child("user"), s.User, "at least one of user or group must be specified")}
	}
	return nil
}

// validateQuestion checks that exactly one kind of question is asked.
func validateQuestion(r *authorizationv1.ResourceAttributes, other *authorizationv1.NonResourceAttributes, spec *field.Path) field.ErrorList {
	switch {
	case r != nil && other != nil:
		return field.ErrorList{field.Invalid(spec.Child("nonResourceAttributes"), other, "cannot be specified in combination with resourceAttributes")}
	case r == nil && other == nil:
		return field.ErrorList{field.Invalid(spec.Child("resourceAttributes"), other, "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

func subject(s *authorizationv1.SubjectAccessReviewSpec) *request.User {
	u := &request.User{Name: s.User, UID: s.UID, Groups: s.Groups}
	for k, v := range s.Extra {
		if u.Extra == nil {
			u.Extra = make(map[string][]string, len(s.Extra))
		}
		u.Extra[k] = v
	}
	return u
}

package authentication

import (
	"context"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
)

func tokenReview() *kind.Kind {
	return kind.New(kind.Spec[*authenticationv1.TokenReview]{
		Names: kind.Names{
			Group: authenticationv1.GroupName, Version: "v1", Kind: "TokenReview", Plural: "tokenreviews", Singular: "tokenreview",
		},
		New:     func() *authenticationv1.TokenReview { return &authenticationv1.TokenReview{} },
		NewList: func() runtime.Object { return nil },
		Validate: func(r *authenticationv1.TokenReview) field.ErrorList {
			if r.Spec.Token == "" {
				return field.ErrorList{field.Required(field.NewPath("spec", "token"), "token is required for TokenReview in authentication")}
			}
			return nil
		},
		Virtual: review,
	})
}

// review answers who a token belongs to, and for which of the asked audiences.
func review(ctx context.Context, env kind.Env, r *authenticationv1.TokenReview, _ kind.CreateOptions) (*authenticationv1.TokenReview, error) {
	out := r.DeepCopy()
	out.Status = authenticationv1.TokenReviewStatus{}
	user, audiences, err := env.Authenticate(ctx, r.Spec.Token, r.Spec.Audiences)
	switch {
	case err != nil:
		out.Status.Error = err.Error()
	case user != nil:
		out.Status.Authenticated = true
		out.Status.User = userInfo(user)
		if len(r.Spec.Audiences) > 0 {
			out.Status.Audiences = slices.Clone(audiences)
		}
	}
	return out, nil
}

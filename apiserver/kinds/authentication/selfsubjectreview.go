package authentication

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
)

func selfSubjectReview() *kind.Kind {
	return kind.New(kind.Spec[*authenticationv1.SelfSubjectReview]{
		Names: kind.Names{
			Group: authenticationv1.GroupName, Version: "v1", Kind: "SelfSubjectReview",
			Plural: "selfsubjectreviews", Singular: "selfsubjectreview",
		},
		New:     func() *authenticationv1.SelfSubjectReview { return &authenticationv1.SelfSubjectReview{} },
		NewList: func() runtime.Object { return nil },
		Virtual: func(ctx context.Context, _ kind.Env, r *authenticationv1.SelfSubjectReview, _ kind.CreateOptions) (*authenticationv1.SelfSubjectReview, error) {
			out := r.DeepCopy()
			out.Status.UserInfo = userInfo(request.UserFrom(ctx))
			return out, nil
		},
	})
}

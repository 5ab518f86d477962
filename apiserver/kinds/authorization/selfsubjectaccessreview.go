package authorization

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
)

func selfSubjectAccessReview() *kind.Kind {
	return kind.New(kind.Spec[*authorizationv1.SelfSubjectAccessReview]{
		Names:   names("SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview", false),
		New:     func() *authorizationv1.SelfSubjectAccessReview { return &authorizationv1.SelfSubjectAccessReview{} },
		NewList: func() runtime.Object { return nil },
		Validate: func(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
			return validateQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, field.NewPath("spec"))
		},
		Virtual: func(ctx context.Context, env kind.Env, r *authorizationv1.SelfSubjectAccessReview, _ kind.CreateOptions) (*authorizationv1.SelfSubjectAccessReview, error) {
			out := r.DeepCopy()
			out.Status = answer(ctx, env, request.UserFrom(ctx), question(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes))
			return out, nil
		},
	})
}

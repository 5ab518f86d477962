package authorization

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
)

func subjectAccessReview() *kind.Kind {
	return kind.New(kind.Spec[*authorizationv1.SubjectAccessReview]{
		Names:   names("SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview", false),
		New:     func() *authorizationv1.SubjectAccessReview { return &authorizationv1.SubjectAccessReview{} },
		NewList: func() runtime.Object { return nil },
		Validate: func(r *authorizationv1.SubjectAccessReview) field.ErrorList {
			spec := field.NewPath("spec")
			return append(validateQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, spec), validateSubject(&r.Spec, spec)...)
		},
		Virtual: func(ctx context.Context, env kind.Env, r *authorizationv1.SubjectAccessReview, _ kind.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
			out := r.DeepCopy()
			out.Status = answer(ctx, env, subject(&r.Spec), question(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes))
			return out, nil
		},
	})
}

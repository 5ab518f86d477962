package authorization

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
)

func localSubjectAccessReview() *kind.Kind {
	return kind.New(kind.Spec[*authorizationv1.LocalSubjectAccessReview]{
		Names:   names("LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview", true),
		New:     func() *authorizationv1.LocalSubjectAccessReview { return &authorizationv1.LocalSubjectAccessReview{} },
		NewList: func() runtime.Object { return nil },
		Validate: func(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
			spec := field.NewPath("spec")
			errs := append(validateQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes, spec), validateSubject(&r.Spec, spec)...)
			switch {
			case r.Spec.NonResourceAttributes != nil:
				errs = append(errs, field.Invalid(spec.Child("nonResourceAttributes"), r.Spec.NonResourceAttributes, "disallowed on this kind of request"))
			case r.Spec.ResourceAttributes != nil && r.Spec.ResourceAttributes.Namespace != r.Namespace:
				errs = append(errs, field.Invalid(spec.Child("resourceAttributes", "namespace"), r.Spec.ResourceAttributes.Namespace, "must match metadata.namespace"))
			}
			return errs
		},
		Virtual: func(ctx context.Context, env kind.Env, r *authorizationv1.LocalSubjectAccessReview, _ kind.CreateOptions) (*authorizationv1.LocalSubjectAccessReview, error) {
			out := r.DeepCopy()
			out.Status = answer(ctx, env, subject(&r.Spec), question(r.Spec.ResourceAttributes, nil))
			return out, nil
		},
	})
}

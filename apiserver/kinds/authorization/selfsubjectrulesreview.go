package authorization

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
)

func selfSubjectRulesReview() *kind.Kind {
	return kind.New(kind.Spec[*authorizationv1.SelfSubjectRulesReview]{
		Names:   names("SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview", false),
		New:     func() *authorizationv1.SelfSubjectRulesReview { return &authorizationv1.SelfSubjectRulesReview{} },
		NewList: func() runtime.Object { return nil },
		Virtual: listRules,
	})
}

// listRules enumerates what the asking user may do in a namespace.
func listRules(ctx context.Context, env kind.Env, r *authorizationv1.SelfSubjectRulesReview, _ kind.CreateOptions) (*authorizationv1.SelfSubjectRulesReview, error) {
	if r.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	out := r.DeepCopy()
	s := &out.Status
	*s = authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{},
	}
	lister, ok := env.Authorizer().(request.RuleLister)
	if !ok {
		s.Incomplete, s.EvaluationError = true, fmt.Sprintf("the authorizer %T does not support rule resolution", env.Authorizer())
		return out, nil
	}
	resources, others, incomplete, err := lister.Rules(ctx, request.UserFrom(ctx), r.Spec.Namespace)
	for _, x := range resources {
		s.ResourceRules = append(s.ResourceRules, authorizationv1.ResourceRule{
			Verbs: x.Verbs, APIGroups: x.APIGroups, Resources: x.Resources, ResourceNames: x.ResourceNames,
		})
	}
	for _, x := range others {
		s.NonResourceRules = append(s.NonResourceRules, authorizationv1.NonResourceRule{Verbs: x.Verbs, NonResourceURLs: x.NonResourceURLs})
	}
	s.Incomplete = incomplete
	if err != nil {
		s.EvaluationError = err.Error()
	}
	return out, nil
}

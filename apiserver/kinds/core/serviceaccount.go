package core

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/core"
	"hyperkube/api/invalid"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

func serviceAccounts() *kind.Kind {
	return kind.New(kind.Spec[*corev1.ServiceAccount]{
		Names:         names("ServiceAccount", "serviceaccounts", "serviceaccount", true, "sa"),
		ReturnDeleted: true,
		New:           func() *corev1.ServiceAccount { return &corev1.ServiceAccount{} },
		Warnings:      warnings.ServiceAccount,
		NewList:       func() runtime.Object { return &corev1.ServiceAccountList{} },
		Columns:       rules.ServiceAccountColumns(),
		Row:           rules.ServiceAccountRow,
		Subresources: []kind.Subresource{{
			Name:   "token",
			GVK:    schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"},
			New:    func() runtime.Object { return &authenticationv1.TokenRequest{} },
			Create: createToken,
		}},
	})
}

// createToken issues a token for the account, bound to a pod, secret or node if
// the request names one.
func createToken(ctx context.Context, env kind.Env, key store.Key, body runtime.Object, o kind.CreateOptions) (runtime.Object, error) {
	in, ok := body.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest object: %T", body))
	}
	req := in.DeepCopy()
	if req.Name != "" && req.Name != key.Name || req.Namespace != "" && req.Namespace != key.Namespace {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("must match the service account: name in URL is %s/%s", key.Namespace, key.Name))
	}
	accounts, err := collection(env, "", "serviceaccounts")
	if err != nil {
		return nil, err
	}
	e, err := get(ctx, accounts, key)
	if err != nil {
		return nil, err
	}
	rules.DefaultTokenRequest(&req.Spec, env.Tokens().Audiences())
	if errs := rules.ValidateTokenRequest(req); len(errs) > 0 {
		return nil, invalid.New(schema.GroupKind{Group: "authentication.k8s.io", Kind: "TokenRequest"}, "", errs)
	}
	claims := kind.TokenClaims{
		Namespace: key.Namespace, ServiceAccount: key.Name, UID: string(e.Object.GetUID()),
		Audiences: req.Spec.Audiences, Lifetime: time.Duration(*req.Spec.ExpirationSeconds) * time.Second,
	}
	if ref := req.Spec.BoundObjectRef; ref != nil {
		if err := bindClaims(ctx, env, key, ref, &claims); err != nil {
			return nil, err
		}
	}
	req.Name, req.Namespace = key.Name, key.Namespace
	req.CreationTimestamp = metav1.NewTime(env.Now()).Rfc3339Copy()
	if o.DryRun {
		return req, nil
	}
	token, expires, err := env.Tokens().Issue(ctx, claims)
	if err != nil {
		return nil, fmt.Errorf("issuing a token for %s/%s: %w", key.Namespace, key.Name, err)
	}
	req.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(expires)}
	return req, nil
}

// bindClaims ties the token to the life of another object.
func bindClaims(ctx context.Context, env kind.Env, sa store.Key, ref *authenticationv1.BoundObjectReference, claims *kind.TokenClaims) error {
	key, plural := store.Key{Namespace: sa.Namespace, Name: ref.Name}, ""
	switch (schema.GroupVersionKind{Version: ref.APIVersion, Kind: ref.Kind}) {
	case gvk("Pod"):
		plural = "pods"
	case gvk("Secret"):
		plural = "secrets"
	case gvk("Node"):
		plural, key.Namespace = "nodes", ""
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)))
	}
	c, err := collection(env, "", plural)
	if err != nil {
		return err
	}
	e, err := get(ctx, c, key)
	if err != nil {
		return err
	}
	uid := e.Object.GetUID()
	if ref.UID != "" && ref.UID != uid {
		return apierrors.NewConflict(schema.GroupResource{Resource: plural}, ref.Name,
			fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	claims.BoundKind, claims.BoundName, claims.BoundUID = ref.Kind, ref.Name, string(uid)
	if p, ok := e.Object.(*corev1.Pod); ok {
		return bindPod(ctx, env, p, sa.Name, claims)
	}
	return nil
}

// bindPod checks that the pod runs under the account and adds its node.
func bindPod(ctx context.Context, env kind.Env, p *corev1.Pod, account string, claims *kind.TokenClaims) error {
	if p.Spec.ServiceAccountName != account {
		at := field.NewPath("spec", "boundObjectRef")
		return invalid.New(schema.GroupKind{Group: "authentication.k8s.io", Kind: "TokenRequest"}, account, field.ErrorList{
			field.Invalid(at, p.Name, fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", account))})
	}
	if p.Spec.NodeName == "" {
		return nil
	}
	claims.NodeName = p.Spec.NodeName
	nodes, err := collection(env, "", "nodes")
	if err != nil {
		return err
	}
	e, err := get(ctx, nodes, store.Key{Name: p.Spec.NodeName})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		claims.NodeUID = string(e.Object.GetUID())
	}
	return err
}

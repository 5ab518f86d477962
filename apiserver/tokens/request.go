package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// Limits of spec.expirationSeconds.
const (
	minSeconds     = 10 * 60
	maxSeconds     = 1 << 32
	defaultSeconds = 60 * 60
)

// Subresource is serviceaccounts/<name>/token, for the ServiceAccount descriptor.
func Subresource() kind.Subresource {
	return kind.Subresource{
		Name:   "token",
		GVK:    authv1.SchemeGroupVersion.WithKind("TokenRequest"),
		New:    func() runtime.Object { return &authv1.TokenRequest{} },
		Create: Request,
	}
}

// Request answers a TokenRequest for the service account parent.
func Request(ctx context.Context, env kind.Env, parent store.Key, body runtime.Object, o kind.CreateOptions) (runtime.Object, error) {
	in, ok := body.(*authv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a TokenRequest, got %T", body))
	}
	account, err := lookup(ctx, env, "serviceaccounts", parent)
	if err != nil {
		return nil, err
	}
	out := in.DeepCopy()
	fill(out, parent, env.Tokens().Audiences())
	if errs := validate(out); len(errs) > 0 {
		return nil, apierrors.NewInvalid(authv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind(), parent.Name, errs)
	}
	c := kind.TokenClaims{
		Namespace: parent.Namespace, ServiceAccount: parent.Name, UID: string(account.GetUID()),
		Audiences: out.Spec.Audiences, Lifetime: time.Duration(*out.Spec.ExpirationSeconds) * time.Second,
	}
	if err := bindTo(ctx, env, &c, out.Spec.BoundObjectRef); err != nil {
		return nil, err
	}
	if o.DryRun {
		return out, nil
	}
	token, expires, err := env.Tokens().Issue(ctx, c)
	if err != nil {
		return nil, err
	}
	out.Status = authv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(expires)}
	return out, nil
}

func fill(r *authv1.TokenRequest, parent store.Key, audiences []string) {
	r.Name, r.Namespace = parent.Name, parent.Namespace
	r.Status = authv1.TokenRequestStatus{}
	if len(r.Spec.Audiences) == 0 {
		r.Spec.Audiences = audiences
	}
	if r.Spec.ExpirationSeconds == nil {
		s := int64(defaultSeconds)
		r.Spec.ExpirationSeconds = &s
	}
}

func validate(r *authv1.TokenRequest) field.ErrorList {
	path := field.NewPath("spec", "expirationSeconds")
	switch s := *r.Spec.ExpirationSeconds; {
	case s < minSeconds:
		return field.ErrorList{field.Invalid(path, s, "may not specify a duration less than 10 minutes")}
	case s > maxSeconds:
		return field.ErrorList{field.Invalid(path, s, "may not specify a duration larger than 2^32 seconds")}
	}
	return nil
}

// bindTo looks up the object the token shall live and die with.
func bindTo(ctx context.Context, env kind.Env, c *kind.TokenClaims, r *authv1.BoundObjectReference) error {
	if r == nil {
		return nil
	}
	key := store.Key{Namespace: c.Namespace, Name: r.Name}
	var resource string
	switch gvk := schema.FromAPIVersionAndKind(r.APIVersion, r.Kind); gvk {
	case corev1.SchemeGroupVersion.WithKind("Pod"):
		resource = "pods"
	case corev1.SchemeGroupVersion.WithKind("Secret"):
		resource = "secrets"
	case corev1.SchemeGroupVersion.WithKind("Node"):
		resource, key.Namespace = "nodes", ""
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk.String()))
	}
	obj, err := lookup(ctx, env, resource, key)
	if err != nil {
		return err
	}
	gr := schema.GroupResource{Resource: resource}
	if r.UID != "" && r.UID != obj.GetUID() {
		return conflict(gr, r)
	}
	c.BoundKind, c.BoundName, c.BoundUID = r.Kind, r.Name, string(obj.GetUID())
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil
	}
	if pod.Spec.ServiceAccountName != c.ServiceAccount {
		return apierrors.NewBadRequest(fmt.Sprintf(
			"cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", c.ServiceAccount))
	}
	return nodeOf(ctx, env, c, pod)
}

func conflict(gr schema.GroupResource, r *authv1.BoundObjectReference) error {
	return apierrors.NewConflict(gr, r.Name,
		fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", r.UID))
}

// nodeOf adds the pod's node; a node that is gone already leaves only its name.
func nodeOf(ctx context.Context, env kind.Env, c *kind.TokenClaims, pod *corev1.Pod) error {
	if pod.Spec.NodeName == "" {
		return nil
	}
	c.NodeName = pod.Spec.NodeName
	node, err := lookup(ctx, env, "nodes", store.Key{Name: pod.Spec.NodeName})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		c.NodeUID = string(node.GetUID())
	}
	return err
}

func lookup(ctx context.Context, env store.Reader, resource string, key store.Key) (store.Object, error) {
	c, ok := env.Collection("", resource)
	if !ok {
		return nil, fmt.Errorf("no collection of %s", resource)
	}
	e, err := c.Get(ctx, key, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, key.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s %s: %w", resource, key.Name, err)
	}
	return e.Object, nil
}

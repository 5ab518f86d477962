// Package serviceaccount gives every namespace that is not going away the
// service account "default".
package serviceaccount

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

const defaultName = "default"

// New makes the controller. Its keys are namespaces.
func New(e *env.Env) (env.Runner, error) {
	namespaces, accounts := e.Namespaces(), e.ServiceAccounts()
	loop := e.Controller("serviceaccount-controller", func(ctx context.Context, key kit.Key) (kit.Result, error) {
		ns, ok := namespaces.Get("", key.Name)
		if !ok || ns.Status.Phase == corev1.NamespaceTerminating || ns.DeletionTimestamp != nil {
			return kit.Result{}, nil
		}
		if _, ok := accounts.Get(key.Name, defaultName); ok {
			return kit.Result{}, nil
		}
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: key.Name, Name: defaultName}}
		_, err := e.Kube.CoreV1().ServiceAccounts(key.Name).Create(ctx, sa, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return kit.Result{}, fmt.Errorf("creating the default service account: %w", err)
		}
		return kit.Result{}, nil
	})
	kit.WatchSelf(loop, namespaces)
	kit.WatchWith(loop, accounts, kit.Handler[*corev1.ServiceAccount]{
		Delete: func(sa *corev1.ServiceAccount) {
			if sa.Name == defaultName {
				loop.Add(kit.Key{Name: sa.Namespace})
			}
		},
	})
	return loop, nil
}

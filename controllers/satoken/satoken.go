// Package satoken fills secrets of type kubernetes.io/service-account-token with a token
// that does not expire, and removes those whose service account is gone.
package satoken

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// New makes the controller; without somebody to sign tokens it does nothing. Its keys are secrets.
func New(e *env.Env) (env.Runner, error) {
	if e.Config.ServiceAccountToken == nil {
		return env.Idle{}, nil
	}
	c := &controller{env: e, accounts: e.ServiceAccounts()}
	c.secrets = kit.Filtered[*corev1.Secret](e.Informers, corev1.SchemeGroupVersion.WithResource("secrets"),
		kit.SourceOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
	c.secrets.AddIndex("account", func(s *corev1.Secret) []string {
		return []string{s.Namespace + "/" + s.Annotations[corev1.ServiceAccountNameKey]}
	})
	loop := e.Controller("serviceaccount-token-controller", c.reconcile)
	kit.WatchSelf(loop, c.secrets)
	kit.Watch(loop, c.accounts, func(sa *corev1.ServiceAccount) []kit.Key {
		var keys []kit.Key
		for _, s := range c.secrets.ByIndex("account", sa.Namespace+"/"+sa.Name) {
			keys = append(keys, kit.KeyOf(s))
		}
		return keys
	})
	return loop, nil
}

type controller struct {
	env      *env.Env
	accounts *kit.Informer[*corev1.ServiceAccount]
	secrets  *kit.Informer[*corev1.Secret]
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	s, ok := c.secrets.Get(key.Namespace, key.Name)
	if !ok || s.DeletionTimestamp != nil {
		return kit.Result{}, nil
	}
	name := s.Annotations[corev1.ServiceAccountNameKey]
	// Asked live: a secret must neither outlive its account nor go for one that is only not seen yet.
	sa, err := c.env.Kube.CoreV1().ServiceAccounts(s.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return kit.Result{}, fmt.Errorf("reading service account %s: %w", name, err)
	}
	uid := s.Annotations[corev1.ServiceAccountUIDKey]
	if err != nil || uid != "" && uid != string(sa.UID) {
		err := c.env.Kube.CoreV1().Secrets(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion}})
		if err != nil && !apierrors.IsNotFound(err) {
			return kit.Result{}, fmt.Errorf("deleting the token of a service account that is gone: %w", err)
		}
		return kit.Result{}, nil
	}
	return kit.Result{}, c.fill(ctx, s, sa)
}

func (c *controller) fill(ctx context.Context, s *corev1.Secret, sa *corev1.ServiceAccount) error {
	ca := c.env.Config.RootCA
	complete := len(s.Data[corev1.ServiceAccountTokenKey]) > 0 && string(s.Data[corev1.ServiceAccountRootCAKey]) == string(ca) &&
		string(s.Data[corev1.ServiceAccountNamespaceKey]) == s.Namespace && s.Annotations[corev1.ServiceAccountUIDKey] == string(sa.UID)
	if complete {
		return nil
	}
	out := s.DeepCopy()
	metav1.SetMetaDataAnnotation(&out.ObjectMeta, corev1.ServiceAccountUIDKey, string(sa.UID))
	if out.Data == nil {
		out.Data = map[string][]byte{}
	}
	if len(ca) > 0 {
		out.Data[corev1.ServiceAccountRootCAKey] = ca
	}
	out.Data[corev1.ServiceAccountNamespaceKey] = []byte(s.Namespace)
	if len(out.Data[corev1.ServiceAccountTokenKey]) == 0 {
		token, err := c.env.Config.ServiceAccountToken.IssueLegacy(s.Namespace, sa.Name, string(sa.UID), s.Name)
		if err != nil {
			return fmt.Errorf("signing the token: %w", err)
		}
		out.Data[corev1.ServiceAccountTokenKey] = []byte(token)
	}
	if _, err := c.env.Kube.CoreV1().Secrets(s.Namespace).Update(ctx, out, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing the token: %w", err)
	}
	return nil
}

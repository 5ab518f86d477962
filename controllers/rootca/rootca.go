// Package rootca publishes the cluster's CA certificate to every namespace, in the
// config map kube-root-ca.crt that pods mount beside their tokens.
package rootca

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

const (
	name        = "kube-root-ca.crt"
	file        = "ca.crt"
	description = "kubernetes.io/description"
	text        = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints " +
		"such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)

// New makes the controller; without a CA it has nothing to publish and does nothing. Its keys
// are namespaces.
func New(e *env.Env) (env.Runner, error) {
	namespaces := e.Namespaces()
	published := kit.Filtered[*corev1.ConfigMap](e.Informers, corev1.SchemeGroupVersion.WithResource("configmaps"),
		kit.SourceOptions{FieldSelector: "metadata.name=" + name})
	p := &publisher{env: e, namespaces: namespaces, published: published, want: map[string]string{file: string(e.Config.RootCA)}}
	loop := e.Controller("root-ca-certificate-publisher-controller", p.reconcile)
	kit.WatchSelf(loop, namespaces)
	kit.Watch(loop, published, func(m *corev1.ConfigMap) []kit.Key { return []kit.Key{{Name: m.Namespace}} })
	return loop, nil
}

type publisher struct {
	env        *env.Env
	namespaces *kit.Informer[*corev1.Namespace]
	published  *kit.Informer[*corev1.ConfigMap]
	want       map[string]string
}

func (p *publisher) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	ns, ok := p.namespaces.Get("", key.Name)
	if !ok || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating || len(p.env.Config.RootCA) == 0 {
		return kit.Result{}, nil
	}
	api := p.env.Kube.CoreV1().ConfigMaps(key.Name)
	have, ok := p.published.Get(key.Name, name)
	if !ok {
		m := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: key.Name, Annotations: map[string]string{description: text}},
			Data:       p.want,
		}
		_, err := api.Create(ctx, m, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return kit.Result{}, fmt.Errorf("publishing the root CA: %w", err)
		}
		return kit.Result{}, nil
	}
	if maps.Equal(have.Data, p.want) && have.Annotations[description] != "" {
		return kit.Result{}, nil
	}
	m := have.DeepCopy()
	m.Data = p.want
	metav1.SetMetaDataAnnotation(&m.ObjectMeta, description, text)
	if _, err := api.Update(ctx, m, metav1.UpdateOptions{}); err != nil {
		return kit.Result{}, fmt.Errorf("restoring the root CA: %w", err)
	}
	return kit.Result{}, nil
}

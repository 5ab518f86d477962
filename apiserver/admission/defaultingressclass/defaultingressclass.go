// Package defaultingressclass names the default ingress class in ingresses that
// name none.
package defaultingressclass

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is DefaultIngressClass.
type Plugin struct{ r store.Reader }

var _ admission.Mutator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "DefaultIngressClass" }

// Handles new ingresses.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Operation == admission.Create && a.Is(networkingv1.GroupName, "ingresses")
}

// Admit names the newest of the default classes.
func (p Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	in, ok := a.Object.(*networkingv1.Ingress)
	if !ok || in.Spec.IngressClassName != nil {
		return nil
	}
	if _, ok := in.Annotations["kubernetes.io/ingress.class"]; ok {
		return nil
	}
	list, err := admission.All[*networkingv1.IngressClass](ctx, p.r, networkingv1.GroupName, "ingressclasses", "")
	if err != nil {
		return err
	}
	var out *networkingv1.IngressClass
	for _, c := range list {
		if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		if out == nil || out.CreationTimestamp.Before(&c.CreationTimestamp) ||
			out.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < out.Name {
			out = c
		}
	}
	if out != nil {
		in.Spec.IngressClassName = &out.Name
	}
	return nil
}

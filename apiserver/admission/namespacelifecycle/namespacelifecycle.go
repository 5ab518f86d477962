// Package namespacelifecycle keeps objects out of namespaces that do not exist or
// are being removed, and the system's own namespaces from removal.
package namespacelifecycle

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/admission"
	"hyperkube/store"
)

// Plugin is NamespaceLifecycle.
type Plugin struct{ r store.Reader }

var _ admission.Mutator = Plugin{}

// New makes the plugin.
func New(r store.Reader) Plugin { return Plugin{r} }

// Name as flags know it.
func (Plugin) Name() string { return "NamespaceLifecycle" }

// Handles creates and updates in namespaces, and deletes of namespaces.
func (Plugin) Handles(a *admission.Attributes) bool {
	if a.Is("", "namespaces") {
		return a.Operation == admission.Delete
	}
	if a.Kind == nil || !a.Kind.Namespaced || a.Info.Resource == "localsubjectaccessreviews" {
		return false
	}
	return a.Operation == admission.Create || a.Operation == admission.Update
}

// Admit judges first of all plugins, before others look things up in vain.
func (p Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	if a.Operation == admission.Delete {
		switch a.Name() {
		case metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic:
			return admission.Forbid(a, "this namespace may not be deleted")
		}
		return nil
	}
	name := a.Namespace()
	ns, found, err := admission.Find[*corev1.Namespace](ctx, p.r, "", "namespaces", store.Key{Name: name})
	if err != nil {
		return err
	}
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	// Subresources act on what is there; they add no content.
	if a.Operation != admission.Create || a.Subresource != "" {
		return nil
	}
	if ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
		return terminating(a, name)
	}
	return nil
}

func terminating(a *admission.Attributes, name string) error {
	err := admission.Forbid(a, "unable to create new content in namespace %s because it is being terminated", name)
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{
			Type: corev1.NamespaceTerminatingCause, Field: "metadata.namespace",
			Message: fmt.Sprintf("namespace %s is being terminated", name),
		})
	}
	return err
}

package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

// DefaultNamespace completes a namespace: its own name as a label, so that
// selectors can find it.
func DefaultNamespace(n *corev1.Namespace) {
	if n.Name == "" { // generateName has not been resolved yet
		return
	}
	if n.Labels == nil {
		n.Labels = make(map[string]string, 1)
	}
	n.Labels[corev1.LabelMetadataName] = n.Name
	setDefault(&n.Status.Phase, corev1.NamespaceActive)
}

// PrepareNamespace makes a new namespace active and held by the finalizer that
// empties it.
func PrepareNamespace(n *corev1.Namespace) {
	n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
	for _, f := range n.Spec.Finalizers {
		if f == corev1.FinalizerKubernetes {
			return
		}
	}
	n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
}

// ValidateNamespace judges a new namespace.
func ValidateNamespace(n *corev1.Namespace) (errs field.ErrorList) {
	for i, f := range n.Spec.Finalizers {
		errs = append(errs, validateFinalizer(string(f), field.NewPath("spec", "finalizers").Index(i))...)
	}
	if v := n.Labels[corev1.LabelMetadataName]; n.Name != "" && v != n.Name {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "labels").Key(corev1.LabelMetadataName), v, "must be the namespace's name"))
	}
	return errs
}

func validateFinalizer(name string, path *field.Path) (errs field.ErrorList) {
	errs = checkQualified(errs, name, path)
	if len(errs) == 0 && name != string(corev1.FinalizerKubernetes) && !containsSlash(name) {
		errs = append(errs, field.Invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified"))
	}
	return errs
}

func containsSlash(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '/' {
			return true
		}
	}
	return false
}

// ValidateNamespaceStatusUpdate: the phase follows the deletion timestamp.
func ValidateNamespaceStatusUpdate(n, _ *corev1.Namespace) (errs field.ErrorList) {
	at := field.NewPath("status", "phase")
	switch {
	case n.DeletionTimestamp.IsZero() && n.Status.Phase != corev1.NamespaceActive:
		errs = append(errs, field.Invalid(at, n.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty"))
	case !n.DeletionTimestamp.IsZero() && n.Status.Phase != corev1.NamespaceTerminating:
		errs = append(errs, field.Invalid(at, n.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"))
	}
	return errs
}

// NamespaceColumns are printed by kubectl get namespaces.
func NamespaceColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{table.Name(), table.Text("Status", "The status of the namespace"), table.AgeColumn()}
}

// NamespaceRow fills NamespaceColumns.
func NamespaceRow(n *corev1.Namespace, now time.Time) []any {
	return []any{n.Name, string(n.Status.Phase), table.Age(n.CreationTimestamp, now)}
}

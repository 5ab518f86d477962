package core

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

// DefaultReplicationController completes a replication controller: what it does
// not say is taken from the labels of its template.
func DefaultReplicationController(rc *corev1.ReplicationController) {
	setPtr(&rc.Spec.Replicas, 1)
	t := rc.Spec.Template
	if t == nil {
		return
	}
	if len(rc.Spec.Selector) == 0 {
		rc.Spec.Selector = maps.Clone(t.Labels)
	}
	if len(rc.Labels) == 0 {
		rc.Labels = maps.Clone(t.Labels)
	}
	DefaultPodTemplate(t)
}

// ValidateReplicationController judges a replication controller.
func ValidateReplicationController(rc *corev1.ReplicationController) (errs field.ErrorList) {
	path, s := field.NewPath("spec"), &rc.Spec
	errs = checkNotNegative(errs, int64(s.MinReadySeconds), path.Child("minReadySeconds"))
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(path.Child("replicas"), ""))
	} else {
		errs = checkNotNegative(errs, int64(*s.Replicas), path.Child("replicas"))
	}
	at := path.Child("template")
	if s.Template == nil {
		return append(errs, field.Required(at, ""))
	}
	if len(s.Selector) > 0 && !labels.SelectorFromSet(s.Selector).Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, ValidatePodTemplate(s.Template, at)...)
	if p := s.Template.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(at.Child("spec", "restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if s.Template.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(at.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicationController is not Supported"))
	}
	return errs
}

// ValidateReplicationControllerStatus judges what the controller counted.
func ValidateReplicationControllerStatus(rc, _ *corev1.ReplicationController) (errs field.ErrorList) {
	path, s := field.NewPath("status"), &rc.Status
	errs = checkNotNegative(errs, int64(s.Replicas), path.Child("replicas"))
	errs = checkNotNegative(errs, int64(s.FullyLabeledReplicas), path.Child("fullyLabeledReplicas"))
	errs = checkNotNegative(errs, int64(s.ReadyReplicas), path.Child("readyReplicas"))
	errs = checkNotNegative(errs, int64(s.AvailableReplicas), path.Child("availableReplicas"))
	errs = checkNotNegative(errs, s.ObservedGeneration, path.Child("observedGeneration"))
	for _, n := range []struct {
		name  string
		count int32
	}{{"fullyLabeledReplicas", s.FullyLabeledReplicas}, {"readyReplicas", s.ReadyReplicas}, {"availableReplicas", s.AvailableReplicas}} {
		if n.count > s.Replicas {
			errs = append(errs, field.Invalid(path.Child(n.name), n.count, "cannot be greater than status.replicas"))
		}
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}

// ControllerChanged tells whether metadata.generation must rise.
func ControllerChanged(rc, old *corev1.ReplicationController) bool {
	return !equality.Semantic.DeepEqual(&rc.Spec, &old.Spec)
}

// ControllerScale reads the scale of a replication controller.
func ControllerScale(rc *corev1.ReplicationController) (spec, status int32, selector string) {
	if rc.Spec.Replicas != nil {
		spec = *rc.Spec.Replicas
	}
	return spec, rc.Status.Replicas, labels.SelectorFromSet(rc.Spec.Selector).String()
}

// ReplicationControllerColumns are printed by kubectl get replicationcontrollers.
func ReplicationControllerColumns() []metav1.TableColumnDefinition {
	return table.Columns([]metav1.TableColumnDefinition{
		table.Name(), table.Integer("Desired", "Number of pods wanted."), table.Integer("Current", "Number of pods there are."),
		table.Integer("Ready", "Number of pods that are ready."), table.AgeColumn(),
	}, table.Workload()...)
}

// ReplicationControllerRow fills ReplicationControllerColumns.
func ReplicationControllerRow(rc *corev1.ReplicationController, now time.Time) []any {
	desired, current, _ := ControllerScale(rc)
	row := []any{rc.Name, int64(desired), int64(current), int64(rc.Status.ReadyReplicas), table.Age(rc.CreationTimestamp, now)}
	pod := &corev1.PodSpec{}
	if rc.Spec.Template != nil {
		pod = &rc.Spec.Template.Spec
	}
	names, images := table.Containers(pod.Containers)
	return append(row, names, images, table.Labels(rc.Spec.Selector))
}

// DefaultPodTemplateObject completes a stored template.
func DefaultPodTemplateObject(t *corev1.PodTemplate) { DefaultPodTemplate(&t.Template) }

// ValidatePodTemplateObject judges a stored template.
func ValidatePodTemplateObject(t *corev1.PodTemplate) field.ErrorList {
	return ValidatePodTemplate(&t.Template, field.NewPath("template"))
}

// PodTemplateChanged tells whether metadata.generation must rise.
func PodTemplateChanged(t, old *corev1.PodTemplate) bool {
	return !equality.Semantic.DeepEqual(&t.Template, &old.Template)
}

// PodTemplateColumns are printed by kubectl get podtemplates.
func PodTemplateColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("Containers", "Names of each container in the template."),
		table.Text("Images", "Images referenced by each container in the template."), table.Text("Pod Labels", "Labels of the template."),
	}
}

// PodTemplateRow fills PodTemplateColumns.
func PodTemplateRow(t *corev1.PodTemplate, _ time.Time) []any {
	names, images := table.Containers(t.Template.Spec.Containers)
	return []any{t.Name, names, images, table.Labels(t.Template.Labels)}
}

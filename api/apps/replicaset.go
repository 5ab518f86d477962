package apps

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultReplicaSet fills in the documented defaults.
func DefaultReplicaSet(r *appsv1.ReplicaSet) {
	orDefault(&r.Spec.Replicas, 1)
	core.DefaultPodTemplate(&r.Spec.Template)
}

// ValidateReplicaSet checks the spec.
func ValidateReplicaSet(r *appsv1.ReplicaSet) field.ErrorList {
	spec := field.NewPath("spec")
	s := &r.Spec
	errs := rules.MaybeNotNegative(s.Replicas, spec.Child("replicas"))
	errs = append(errs, rules.NotNegative(s.MinReadySeconds, spec.Child("minReadySeconds"))...)
	errs = append(errs, rules.Selector(s.Selector, s.Template.Labels, "replicaset", spec)...)
	return append(errs, validateTemplate(&s.Template, nil, spec.Child("template"))...)
}

// ValidateReplicaSetUpdate also refuses to change the selector.
func ValidateReplicaSetUpdate(r, old *appsv1.ReplicaSet) field.ErrorList {
	return append(ValidateReplicaSet(r), rules.Same(r.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
}

// ValidateReplicaSetStatus checks the counters a controller reports.
func ValidateReplicaSetStatus(r, _ *appsv1.ReplicaSet) field.ErrorList {
	path, s := field.NewPath("status"), &r.Status
	errs := notNegative(path, map[string]int32{
		"replicas": s.Replicas, "fullyLabeledReplicas": s.FullyLabeledReplicas,
		"readyReplicas": s.ReadyReplicas, "availableReplicas": s.AvailableReplicas,
	})
	errs = append(errs, rules.MaybeNotNegative(s.TerminatingReplicas, path.Child("terminatingReplicas"))...)
	errs = append(errs, rules.NotNegative(s.ObservedGeneration, path.Child("observedGeneration"))...)
	errs = append(errs, atMost(path, "fullyLabeledReplicas", s.FullyLabeledReplicas, s.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "readyReplicas", s.ReadyReplicas, s.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "availableReplicas", s.AvailableReplicas, s.Replicas, "status.replicas")...)
	return append(errs, atMost(path, "availableReplicas", s.AvailableReplicas, s.ReadyReplicas, "readyReplicas")...)
}

// ReplicaSetColumns are what kubectl prints.
func ReplicaSetColumns() []metav1.TableColumnDefinition {
	return table.Columns([]metav1.TableColumnDefinition{
		table.Name(),
		table.Integer("Desired", appsv1.ReplicaSetSpec{}.SwaggerDoc()["replicas"]),
		table.Integer("Current", appsv1.ReplicaSetStatus{}.SwaggerDoc()["replicas"]),
		table.Integer("Ready", appsv1.ReplicaSetStatus{}.SwaggerDoc()["readyReplicas"]),
		table.AgeColumn(),
	}, table.Workload()...)
}

// ReplicaSetRow fills ReplicaSetColumns.
func ReplicaSetRow(r *appsv1.ReplicaSet, now time.Time) []any {
	return append([]any{
		r.Name, int64(value(r.Spec.Replicas)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas), table.Age(r.CreationTimestamp, now),
	}, table.WorkloadCells(&r.Spec.Template.Spec, r.Spec.Selector)...)
}

// Package apps is the behaviour of the kinds of apps/v1: defaults, validation
// and columns, one file per kind. Pure functions on the published types; the
// metadata of an object is checked by the API server for all kinds alike.
package apps

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultDeployment fills in the documented defaults.
func DefaultDeployment(d *appsv1.Deployment) {
	s := &d.Spec
	orDefault(&s.Replicas, 1)
	orDefault(&s.RevisionHistoryLimit, 10)
	orDefault(&s.ProgressDeadlineSeconds, 600)
	if s.Strategy.Type == "" {
		s.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.Strategy.RollingUpdate == nil {
			s.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		orDefault(&s.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		orDefault(&s.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	core.DefaultPodTemplate(&s.Template)
}

// orDefault points an unset optional field at v.
func orDefault[V any](p **V, v V) {
	if *p == nil {
		*p = &v
	}
}

// ValidateDeployment checks the spec.
func ValidateDeployment(d *appsv1.Deployment) field.ErrorList {
	spec := field.NewPath("spec")
	s := &d.Spec
	errs := rules.MaybeNotNegative(s.Replicas, spec.Child("replicas"))
	errs = append(errs, rules.Selector(s.Selector, s.Template.Labels, "deployment", spec)...)
	errs = append(errs, validateTemplate(&s.Template, nil, spec.Child("template"))...)
	errs = append(errs, validateDeploymentStrategy(&s.Strategy, spec.Child("strategy"))...)
	errs = append(errs, rules.NotNegative(s.MinReadySeconds, spec.Child("minReadySeconds"))...)
	errs = append(errs, rules.MaybeNotNegative(s.RevisionHistoryLimit, spec.Child("revisionHistoryLimit"))...)
	if s.ProgressDeadlineSeconds != nil {
		path := spec.Child("progressDeadlineSeconds")
		errs = append(errs, rules.NotNegative(*s.ProgressDeadlineSeconds, path)...)
		if *s.ProgressDeadlineSeconds <= s.MinReadySeconds {
			errs = append(errs, field.Invalid(path, *s.ProgressDeadlineSeconds, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

// validateTemplate checks the template of a workload whose pods run for ever and get
// volumes for these claims.
func validateTemplate(t *corev1.PodTemplateSpec, claims []string, path *field.Path) field.ErrorList {
	errs := core.ValidateClaimingTemplate(t, claims, path)
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(path.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(path.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in "+path.String()+" is not Supported"))
	}
	return errs
}

func validateDeploymentStrategy(s *appsv1.DeploymentStrategy, path *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(path.Child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(path.Child("rollingUpdate"), "this should be defaulted and never be nil")}
		}
		return validateRolling(s.RollingUpdate.MaxUnavailable, s.RollingUpdate.MaxSurge, path.Child("rollingUpdate"))
	}
	return rules.OneOf(s.Type, path.Child("type"), appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType)
}

func validateRolling(unavailable, surge *intstr.IntOrString, path *field.Path) field.ErrorList {
	errs := validateSteps(unavailable, surge, path)
	if rules.IsZero(unavailable) && rules.IsZero(surge) {
		errs = append(errs, field.Invalid(path.Child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return errs
}

// validateSteps checks each of the two for itself.
func validateSteps(unavailable, surge *intstr.IntOrString, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if unavailable != nil {
		errs = append(errs, rules.IntOrPercent(*unavailable, path.Child("maxUnavailable"))...)
		errs = append(errs, rules.AtMostAll(*unavailable, path.Child("maxUnavailable"))...)
	}
	if surge != nil {
		errs = append(errs, rules.IntOrPercent(*surge, path.Child("maxSurge"))...)
	}
	return errs
}

// ValidateDeploymentUpdate also refuses to change the selector.
func ValidateDeploymentUpdate(d, old *appsv1.Deployment) field.ErrorList {
	return append(ValidateDeployment(d), rules.Same(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
}

// ValidateDeploymentStatus checks the counters a controller reports.
func ValidateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	errs := notNegative(path, map[string]int32{
		"replicas": s.Replicas, "updatedReplicas": s.UpdatedReplicas, "readyReplicas": s.ReadyReplicas,
		"availableReplicas": s.AvailableReplicas, "unavailableReplicas": s.UnavailableReplicas,
	})
	errs = append(errs, rules.MaybeNotNegative(s.TerminatingReplicas, path.Child("terminatingReplicas"))...)
	errs = append(errs, rules.NotNegative(s.ObservedGeneration, path.Child("observedGeneration"))...)
	errs = append(errs, atMost(path, "updatedReplicas", s.UpdatedReplicas, s.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "readyReplicas", s.ReadyReplicas, s.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "availableReplicas", s.AvailableReplicas, s.ReadyReplicas, "readyReplicas")...)
	return append(errs, countsUp(s.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}

// DeploymentColumns and DeploymentRow are what kubectl prints.
func DeploymentColumns() []metav1.TableColumnDefinition {
	doc := appsv1.DeploymentStatus{}.SwaggerDoc()
	return table.Columns([]metav1.TableColumnDefinition{
		table.Name(),
		table.Text("Ready", "Number of the pod with ready state"),
		table.Integer("Up-to-date", doc["updatedReplicas"]),
		table.Integer("Available", doc["availableReplicas"]),
		table.AgeColumn(),
	}, table.Workload()...)
}

// DeploymentRow fills DeploymentColumns.
func DeploymentRow(d *appsv1.Deployment, now time.Time) []any {
	return append([]any{
		d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, value(d.Spec.Replicas)),
		int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), table.Age(d.CreationTimestamp, now),
	}, table.WorkloadCells(&d.Spec.Template.Spec, d.Spec.Selector)...)
}

func value(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

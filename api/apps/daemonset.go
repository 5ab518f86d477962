package apps

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultDaemonSet fills in the documented defaults.
func DefaultDaemonSet(d *appsv1.DaemonSet) {
	u := &d.Spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if u.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		orDefault(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		orDefault(&u.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	orDefault(&d.Spec.RevisionHistoryLimit, 10)
	core.DefaultPodTemplate(&d.Spec.Template)
}

// ValidateDaemonSet checks the spec.
func ValidateDaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	spec := field.NewPath("spec")
	errs := rules.Selector(d.Spec.Selector, d.Spec.Template.Labels, "daemonset", spec)
	errs = append(errs, validateTemplate(&d.Spec.Template, nil, spec.Child("template"))...)
	errs = append(errs, rules.NotNegative(d.Spec.MinReadySeconds, spec.Child("minReadySeconds"))...)
	errs = append(errs, rules.MaybeNotNegative(d.Spec.RevisionHistoryLimit, spec.Child("revisionHistoryLimit"))...)
	return append(errs, validateDaemonStrategy(&d.Spec.UpdateStrategy, spec.Child("updateStrategy"))...)
}

func validateDaemonStrategy(u *appsv1.DaemonSetUpdateStrategy, path *field.Path) field.ErrorList {
	switch u.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if u.RollingUpdate == nil {
			return field.ErrorList{field.Required(path.Child("rollingUpdate"), "")}
		}
		at, unavailable, surge := path.Child("rollingUpdate"), u.RollingUpdate.MaxUnavailable, u.RollingUpdate.MaxSurge
		errs := validateSteps(unavailable, surge, at)
		if surge != nil {
			errs = append(errs, rules.AtMostAll(*surge, at.Child("maxSurge"))...)
		}
		switch {
		case !rules.IsZero(unavailable) && !rules.IsZero(surge):
			errs = append(errs, field.Invalid(at.Child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"))
		case rules.IsZero(unavailable) && rules.IsZero(surge):
			errs = append(errs, field.Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
		}
		return errs
	}
	return rules.OneOf(u.Type, path.Child("type"), appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType)
}

// ValidateDaemonSetUpdate also refuses to change the selector.
func ValidateDaemonSetUpdate(d, old *appsv1.DaemonSet) field.ErrorList {
	return append(ValidateDaemonSet(d), rules.Same(d.Spec.Selector, old.Spec.Selector, field.NewPath("spec", "selector"))...)
}

// ValidateDaemonSetStatus checks the counters a controller reports.
func ValidateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	path, s := field.NewPath("status"), &d.Status
	errs := notNegative(path, map[string]int32{
		"currentNumberScheduled": s.CurrentNumberScheduled, "numberMisscheduled": s.NumberMisscheduled,
		"desiredNumberScheduled": s.DesiredNumberScheduled, "numberReady": s.NumberReady,
		"updatedNumberScheduled": s.UpdatedNumberScheduled, "numberAvailable": s.NumberAvailable, "numberUnavailable": s.NumberUnavailable,
	})
	errs = append(errs, rules.NotNegative(s.ObservedGeneration, path.Child("observedGeneration"))...)
	return append(errs, countsUp(s.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
}

// DaemonSetColumns are what kubectl prints.
func DaemonSetColumns() []metav1.TableColumnDefinition {
	doc := appsv1.DaemonSetStatus{}.SwaggerDoc()
	return table.Columns([]metav1.TableColumnDefinition{
		table.Name(),
		table.Integer("Desired", doc["desiredNumberScheduled"]),
		table.Integer("Current", doc["currentNumberScheduled"]),
		table.Integer("Ready", doc["numberReady"]),
		table.Integer("Up-to-date", doc["updatedNumberScheduled"]),
		table.Integer("Available", doc["numberAvailable"]),
		table.Text("Node Selector", "Labels a node must have for the pods of this set."),
		table.AgeColumn(),
	}, table.Workload()...)
}

// DaemonSetRow fills DaemonSetColumns.
func DaemonSetRow(d *appsv1.DaemonSet, now time.Time) []any {
	s := &d.Status
	return append([]any{
		d.Name, int64(s.DesiredNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.NumberReady), int64(s.UpdatedNumberScheduled),
		int64(s.NumberAvailable), table.Labels(d.Spec.Template.Spec.NodeSelector), table.Age(d.CreationTimestamp, now),
	}, table.WorkloadCells(&d.Spec.Template.Spec, d.Spec.Selector)...)
}

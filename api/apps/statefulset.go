package apps

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/core"
	"hyperkube/api/rules"
	"hyperkube/api/table"
)

// DefaultStatefulSet fills in the documented defaults.
func DefaultStatefulSet(s *appsv1.StatefulSet) {
	if s.Spec.PodManagementPolicy == "" {
		s.Spec.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	u := &s.Spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		orDefault(&u.RollingUpdate.Partition, 0)
	}
	if s.Spec.PersistentVolumeClaimRetentionPolicy == nil {
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	}
	p := s.Spec.PersistentVolumeClaimRetentionPolicy
	if p.WhenDeleted == "" {
		p.WhenDeleted = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if p.WhenScaled == "" {
		p.WhenScaled = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	orDefault(&s.Spec.Replicas, 1)
	orDefault(&s.Spec.RevisionHistoryLimit, 10)
	core.DefaultPodTemplate(&s.Spec.Template)
	for i := range s.Spec.VolumeClaimTemplates {
		defaultClaimTemplate(&s.Spec.VolumeClaimTemplates[i])
	}
}

func defaultClaimTemplate(c *corev1.PersistentVolumeClaim) {
	c.APIVersion, c.Kind = "v1", "PersistentVolumeClaim"
	orDefault(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	if c.Status.Phase == "" {
		c.Status.Phase = corev1.ClaimPending
	}
}

// ValidateStatefulSet checks the spec.
func ValidateStatefulSet(s *appsv1.StatefulSet) field.ErrorList {
	spec := field.NewPath("spec")
	errs := rules.OneOf(s.Spec.PodManagementPolicy, spec.Child("podManagementPolicy"), appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)
	errs = append(errs, validateStatefulStrategy(&s.Spec.UpdateStrategy, spec.Child("updateStrategy"))...)
	if p := s.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		at := spec.Child("persistentVolumeClaimRetentionPolicy")
		retain, remove := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		errs = append(errs, rules.OneOf(p.WhenDeleted, at.Child("whenDeleted"), remove, retain)...)
		errs = append(errs, rules.OneOf(p.WhenScaled, at.Child("whenScaled"), remove, retain)...)
	}
	errs = append(errs, rules.MaybeNotNegative(s.Spec.Replicas, spec.Child("replicas"))...)
	errs = append(errs, rules.NotNegative(s.Spec.MinReadySeconds, spec.Child("minReadySeconds"))...)
	errs = append(errs, rules.MaybeNotNegative(s.Spec.RevisionHistoryLimit, spec.Child("revisionHistoryLimit"))...)
	if s.Spec.Ordinals != nil {
		errs = append(errs, rules.NotNegative(s.Spec.Ordinals.Start, spec.Child("ordinals", "start"))...)
	}
	if s.Spec.ServiceName != "" {
		errs = append(errs, rules.Messages(validation.IsDNS1123Label(s.Spec.ServiceName), s.Spec.ServiceName, spec.Child("serviceName"))...)
	}
	errs = append(errs, rules.Selector(s.Spec.Selector, s.Spec.Template.Labels, "statefulset", spec)...)
	var claims []string
	for i := range s.Spec.VolumeClaimTemplates {
		claims = append(claims, s.Spec.VolumeClaimTemplates[i].Name)
	}
	return append(errs, validateTemplate(&s.Spec.Template, claims, spec.Child("template"))...)
}

func validateStatefulStrategy(u *appsv1.StatefulSetUpdateStrategy, path *field.Path) field.ErrorList {
	switch u.Type {
	case appsv1.OnDeleteStatefulSetStrategyType:
		if u.RollingUpdate != nil {
			return field.ErrorList{field.Invalid(path.Child("rollingUpdate"), u.RollingUpdate, "only allowed for updateStrategy '"+string(appsv1.RollingUpdateStatefulSetStrategyType)+"'")}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if u.RollingUpdate == nil {
			return nil
		}
		at := path.Child("rollingUpdate")
		errs := rules.MaybeNotNegative(u.RollingUpdate.Partition, at.Child("partition"))
		if m := u.RollingUpdate.MaxUnavailable; m != nil {
			errs = append(errs, rules.IntOrPercent(*m, at.Child("maxUnavailable"))...)
			errs = append(errs, rules.AtMostAll(*m, at.Child("maxUnavailable"))...)
			if rules.IsZero(m) {
				errs = append(errs, field.Invalid(at.Child("maxUnavailable"), *m, "cannot be 0"))
			}
		}
		return errs
	}
	return rules.OneOf(u.Type, path.Child("type"), appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType)
}

// ValidateStatefulSetUpdate lets only the documented fields of the spec change.
func ValidateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	errs := ValidateStatefulSet(s)
	spec := s.Spec.DeepCopy()
	spec.Replicas, spec.Template, spec.UpdateStrategy = old.Spec.Replicas, old.Spec.Template, old.Spec.UpdateStrategy
	spec.MinReadySeconds, spec.Ordinals, spec.RevisionHistoryLimit = old.Spec.MinReadySeconds, old.Spec.Ordinals, old.Spec.RevisionHistoryLimit
	spec.PersistentVolumeClaimRetentionPolicy = old.Spec.PersistentVolumeClaimRetentionPolicy
	if !apiequality.Semantic.DeepEqual(*spec, old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
			"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"))
	}
	return errs
}

// ValidateStatefulSetStatus checks the counters a controller reports.
func ValidateStatefulSetStatus(s, old *appsv1.StatefulSet) field.ErrorList {
	path, st := field.NewPath("status"), &s.Status
	errs := notNegative(path, map[string]int32{
		"replicas": st.Replicas, "readyReplicas": st.ReadyReplicas, "currentReplicas": st.CurrentReplicas,
		"updatedReplicas": st.UpdatedReplicas, "availableReplicas": st.AvailableReplicas,
	})
	errs = append(errs, rules.NotNegative(st.ObservedGeneration, path.Child("observedGeneration"))...)
	errs = append(errs, countsUp(st.CollisionCount, old.Status.CollisionCount, path.Child("collisionCount"))...)
	errs = append(errs, atMost(path, "readyReplicas", st.ReadyReplicas, st.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "currentReplicas", st.CurrentReplicas, st.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "updatedReplicas", st.UpdatedReplicas, st.Replicas, "status.replicas")...)
	errs = append(errs, atMost(path, "availableReplicas", st.AvailableReplicas, st.Replicas, "status.replicas")...)
	return append(errs, atMost(path, "availableReplicas", st.AvailableReplicas, st.ReadyReplicas, "status.readyReplicas")...)
}

// StatefulSetColumns are what kubectl prints.
func StatefulSetColumns() []metav1.TableColumnDefinition {
	w := table.Workload()
	return []metav1.TableColumnDefinition{
		table.Name(), table.Text("Ready", "Number of the pod with ready state"), table.AgeColumn(), w[0], w[1],
	}
}

// StatefulSetRow fills StatefulSetColumns.
func StatefulSetRow(s *appsv1.StatefulSet, now time.Time) []any {
	names, images := table.Containers(s.Spec.Template.Spec.Containers)
	return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, value(s.Spec.Replicas)), table.Age(s.CreationTimestamp, now), names, images}
}

package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
)

func eventsKind(versions []kind.Version) *kind.Kind {
	return kind.New(kind.Spec[*corev1.Event]{
		Names:               names("Event", "events", "event", true, "ev"),
		New:                 func() *corev1.Event { return &corev1.Event{} },
		NewList:             func() runtime.Object { return &corev1.EventList{} },
		Validate:            rules.ValidateEvent,
		ValidateUpdate:      rules.ValidateEventUpdate,
		AllowCreateOnUpdate: true,
		Fields:              eventFields(),
		Columns:             rules.EventColumns(),
		Row:                 rules.EventRow,
		TTLSeconds:          3600,
		Versions:            versions,
	})
}

func eventFields() []kind.Field[*corev1.Event] {
	return []kind.Field[*corev1.Event]{
		{Path: "involvedObject.kind", Value: func(e *corev1.Event) string { return e.InvolvedObject.Kind }},
		{Path: "involvedObject.namespace", Value: func(e *corev1.Event) string { return e.InvolvedObject.Namespace }},
		{Path: "involvedObject.name", Value: func(e *corev1.Event) string { return e.InvolvedObject.Name }},
		{Path: "involvedObject.uid", Value: func(e *corev1.Event) string { return string(e.InvolvedObject.UID) }},
		{Path: "involvedObject.apiVersion", Value: func(e *corev1.Event) string { return e.InvolvedObject.APIVersion }},
		{Path: "involvedObject.resourceVersion", Value: func(e *corev1.Event) string { return e.InvolvedObject.ResourceVersion }},
		{Path: "involvedObject.fieldPath", Value: func(e *corev1.Event) string { return e.InvolvedObject.FieldPath }},
		{Path: "reason", Value: func(e *corev1.Event) string { return e.Reason }},
		{Path: "reportingComponent", Value: func(e *corev1.Event) string { return e.ReportingController }},
		{Path: "source", Value: rules.EventComponent},
		{Path: "type", Value: func(e *corev1.Event) string { return e.Type }},
		// As events.k8s.io/v1 names them.
		{Path: "regarding.kind", Value: func(e *corev1.Event) string { return e.InvolvedObject.Kind }},
		{Path: "regarding.namespace", Value: func(e *corev1.Event) string { return e.InvolvedObject.Namespace }},
		{Path: "regarding.name", Value: func(e *corev1.Event) string { return e.InvolvedObject.Name }},
		{Path: "regarding.uid", Value: func(e *corev1.Event) string { return string(e.InvolvedObject.UID) }},
		{Path: "regarding.apiVersion", Value: func(e *corev1.Event) string { return e.InvolvedObject.APIVersion }},
		{Path: "regarding.resourceVersion", Value: func(e *corev1.Event) string { return e.InvolvedObject.ResourceVersion }},
		{Path: "regarding.fieldPath", Value: func(e *corev1.Event) string { return e.InvolvedObject.FieldPath }},
		{Path: "reportingController", Value: func(e *corev1.Event) string { return e.ReportingController }},
	}
}

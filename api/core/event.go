package core

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/api/table"
)

const (
	reasonLimit   = 128
	actionLimit   = 128
	noteLimit     = 1024
	reporterLimit = 128
	defaultSpace  = metav1.NamespaceDefault
)

// ValidateEvent judges an event written through core/v1: it lies where its
// object lies. Whoever fills in eventTime follows the stricter rules of
// events.k8s.io.
func ValidateEvent(e *corev1.Event) (errs field.ErrorList) {
	if e.InvolvedObject.Namespace == "" {
		if e.Namespace != "" && e.Namespace != defaultSpace {
			errs = append(errs, field.Invalid(field.NewPath("involvedObject", "namespace"), e.InvolvedObject.Namespace, "does not match event.namespace"))
		}
	} else if e.Namespace != e.InvolvedObject.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("involvedObject", "namespace"), e.InvolvedObject.Namespace, "does not match event.namespace"))
	}
	if e.EventTime.IsZero() {
		return errs
	}
	return append(errs, ValidateNewEvent(e)...)
}

// ValidateNewEvent are the rules of events.k8s.io/v1.
func ValidateNewEvent(e *corev1.Event) (errs field.ErrorList) {
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), e.Type, "has invalid value: "+e.Type))
	}
	if reporter := field.NewPath("reportingController"); e.ReportingController == "" {
		errs = append(errs, field.Required(reporter, ""))
	} else {
		errs = checkQualified(errs, e.ReportingController, reporter)
	}
	errs = limited(requireText(errs, e.ReportingInstance, field.NewPath("reportingInstance")), e.ReportingInstance, reporterLimit, field.NewPath("reportingInstance"))
	errs = limited(requireText(errs, e.Action, field.NewPath("action")), e.Action, actionLimit, field.NewPath("action"))
	errs = limited(requireText(errs, e.Reason, field.NewPath("reason")), e.Reason, reasonLimit, field.NewPath("reason"))
	errs = limited(errs, e.Message, noteLimit, field.NewPath("message"))
	if s := e.Series; s != nil {
		if s.Count < 2 {
			errs = append(errs, field.Invalid(field.NewPath("series", "count"), s.Count, "should be at least 2"))
		}
		if s.LastObservedTime.IsZero() {
			errs = append(errs, field.Required(field.NewPath("series", "lastObservedTime"), ""))
		}
	}
	return errs
}

func limited(errs field.ErrorList, v string, limit int, path *field.Path) field.ErrorList {
	if len(v) > limit {
		errs = append(errs, field.Invalid(path, "", "can have at most "+strconv.Itoa(limit)+" characters"))
	}
	return errs
}

// ValidateEventUpdate: of an event of the new form only the series may change.
func ValidateEventUpdate(e, old *corev1.Event) (errs field.ErrorList) {
	errs = ValidateEvent(e)
	if e.EventTime.IsZero() && old.EventTime.IsZero() {
		return errs
	}
	errs = immutable(errs, e.InvolvedObject == old.InvolvedObject, e.InvolvedObject, field.NewPath("involvedObject"))
	errs = immutable(errs, e.Reason == old.Reason, e.Reason, field.NewPath("reason"))
	errs = immutable(errs, e.Message == old.Message, e.Message, field.NewPath("message"))
	errs = immutable(errs, e.Type == old.Type, e.Type, field.NewPath("type"))
	errs = immutable(errs, e.EventTime.Time.Truncate(time.Microsecond).Equal(old.EventTime.Time.Truncate(time.Microsecond)), e.EventTime, field.NewPath("eventTime"))
	errs = immutable(errs, e.Action == old.Action, e.Action, field.NewPath("action"))
	errs = immutable(errs, e.ReportingController == old.ReportingController, e.ReportingController, field.NewPath("reportingController"))
	errs = immutable(errs, e.ReportingInstance == old.ReportingInstance, e.ReportingInstance, field.NewPath("reportingInstance"))
	return errs
}

// EventColumns are printed by kubectl get events.
func EventColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Text("Last Seen", "Time since the event last happened."),
		table.Text("Type", "Normal or Warning."),
		table.Text("Reason", "Why the event was recorded, in one word."),
		table.Text("Object", "What the event is about."),
		table.Wide(table.Text("Subobject", "Part of the object that the event is about.")),
		table.Wide(table.Text("Source", "Component that recorded the event.")),
		table.Text("Message", "What happened."),
		table.Wide(table.Text("First Seen", "Time since the event first happened.")),
		table.Wide(table.Integer("Count", "How often it happened.")),
		table.Wide(table.Name()),
	}
}

// EventRow fills EventColumns.
func EventRow(e *corev1.Event, now time.Time) []any {
	first, last := table.Age(e.FirstTimestamp, now), table.Age(e.LastTimestamp, now)
	if e.FirstTimestamp.IsZero() {
		first = microAge(e.EventTime, now)
	}
	count := int64(e.Count)
	switch {
	case e.Series != nil:
		last, count = microAge(e.Series.LastObservedTime, now), int64(e.Series.Count)
	case e.LastTimestamp.IsZero():
		last = first
	}
	if count == 0 {
		count = 1
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	return []any{last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, eventSource(e), strings.TrimSpace(e.Message), first, count, e.Name}
}

func microAge(t metav1.MicroTime, now time.Time) string {
	if t.IsZero() {
		return table.Unknown
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

func eventSource(e *corev1.Event) string {
	component, instance := e.Source.Component, e.Source.Host
	if component == "" {
		component, instance = e.ReportingController, e.ReportingInstance
	}
	if instance != "" {
		return component + ", " + instance
	}
	return component
}

// EventComponent is what the field "source" and "reportingComponent" select by.
func EventComponent(e *corev1.Event) string {
	if e.Source.Component != "" {
		return e.Source.Component
	}
	return e.ReportingController
}

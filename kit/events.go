package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	recordutil "k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/tools/reference"

	"hyperkube/internal/bounds"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// Recorder tells of what happens to objects, as core/v1 Events. Telling never blocks:
// repeated events are counted on one Event, similar ones are joined, and when
// too many wait new ones are dropped.
type Recorder interface {
	Event(object runtime.Object, eventtype, reason, message string)
	Eventf(object runtime.Object, eventtype, reason, messageFmt string, args ...any)
	AnnotatedEventf(object runtime.Object, annotations map[string]string, eventtype, reason, messageFmt string, args ...any)
}

const (
	eventsWaiting = 1000             // more are dropped
	eventWithin   = 15 * time.Second // one request
	eventTries    = 12
	eventPause    = 10 * time.Second // between two tries
)

// Events sends the events of all components of a role while it runs. What cannot be sent, or
// does not fit into the queue, is lost; it is told in the log and counted.
type Events struct {
	kube    kubernetes.Interface
	queue   chan *corev1.Event
	writing *trouble.Teller
	queuing *trouble.Teller
}

// NewEvents makes a sender; events told before Run wait for it.
func NewEvents(kube kubernetes.Interface, log *slog.Logger, options ...Option) *Events {
	s := settingsOf(options)
	return &Events{
		kube: kube, queue: make(chan *corev1.Event, eventsWaiting),
		writing: trouble.New(log, s.failures, "writing events"), queuing: trouble.New(log, s.failures, "queueing events"),
	}
}

// Run sends until ctx is done.
func (e *Events) Run(ctx context.Context) error {
	correlator := record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{})
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-e.queue:
			if len(e.queue) == 0 {
				e.queuing.Well()
			}
			err := supervise.Contain("events", func() error { e.send(ctx, correlator, ev); return nil })
			if err != nil {
				e.writing.Failed(err, "reason", ev.Reason)
			}
		}
	}
}

// send writes one event, again while the API server does not answer.
func (e *Events) send(ctx context.Context, correlator *record.EventCorrelator, ev *corev1.Event) {
	r, err := correlator.EventCorrelate(ev)
	if err != nil {
		e.writing.Failed(fmt.Errorf("correlating: %w", err), "reason", ev.Reason)
		return
	}
	if r.Skip {
		return
	}
	for try := 1; ctx.Err() == nil; try++ {
		made, err := e.write(ctx, r)
		var answer *apierrors.StatusError
		switch {
		case err == nil:
			e.writing.Well()
			correlator.UpdateState(made)
			return
		case ctx.Err() != nil, apierrors.IsAlreadyExists(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return
		}
		e.writing.Failed(err, "reason", r.Event.Reason, "object", r.Event.InvolvedObject.Kind+" "+r.Event.InvolvedObject.Name)
		if errors.As(err, &answer) || try == eventTries {
			return // it would be refused again
		}
		d := eventPause
		if try == 1 { // not all senders at once
			d = time.Duration(float64(d) * rand.Float64())
		}
		supervise.Pause(ctx, d)
	}
}

// write counts a repeated event on the one there is, or makes a new one.
func (e *Events) write(ctx context.Context, r *record.EventCorrelateResult) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, eventWithin)
	defer cancel()
	api := e.kube.CoreV1().Events(r.Event.Namespace)
	if r.Event.Count > 1 {
		made, err := api.Patch(ctx, r.Event.Name, types.StrategicMergePatchType, r.Patch, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			return made, err
		}
	}
	out := r.Event.DeepCopy()
	out.ResourceVersion = ""
	return api.Create(ctx, out, metav1.CreateOptions{})
}

// Recorder for a component, which is named as the events' source.
func (e *Events) Recorder(component string) Recorder {
	return e.RecorderOn(component, "")
}

// RecorderOn is a recorder whose events also name the host they come from.
func (e *Events) RecorderOn(component, host string) Recorder {
	return &recorder{e, corev1.EventSource{Component: component, Host: host}}
}

// NewRecorder is for a role with one component: its recorder, and what to run beside it.
func NewRecorder(kube kubernetes.Interface, component string, log *slog.Logger, options ...Option) (Recorder, *Events) {
	e := NewEvents(kube, log, options...)
	return e.Recorder(component), e
}

type recorder struct {
	events *Events
	source corev1.EventSource
}

func (r *recorder) Event(object runtime.Object, eventtype, reason, message string) {
	r.AnnotatedEventf(object, nil, eventtype, reason, "%s", message)
}

func (r *recorder) Eventf(object runtime.Object, eventtype, reason, messageFmt string, args ...any) {
	r.AnnotatedEventf(object, nil, eventtype, reason, messageFmt, args...)
}

func (r *recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, eventtype, reason, messageFmt string, args ...any) {
	ref, err := reference.GetReference(scheme.Scheme, object)
	if err != nil {
		r.events.queuing.Failed(fmt.Errorf("event of an object that cannot be referred to: %w", err), "reason", reason)
		return
	}
	now := metav1.Now()
	ev := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: recordutil.GenerateEventName(ref.Name, now.UnixNano()), Namespace: ref.Namespace, Annotations: annotations,
		},
		InvolvedObject: *ref, Type: eventtype, Reason: reason, Message: told(fmt.Sprintf(messageFmt, args...)),
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: r.source, ReportingController: r.source.Component, ReportingInstance: r.source.Host,
	}
	if ev.Namespace == "" {
		ev.Namespace = metav1.NamespaceDefault
	}
	select {
	case r.events.queue <- ev:
	default:
		r.events.queuing.Failed(fmt.Errorf("%d events wait, this one is dropped", eventsWaiting), "reason", reason,
			"object", ref.Kind+" "+ref.Name)
	}
}

// told is as much of a message as an event tells: it may repeat what somebody wrote into a spec.
func told(message string) string {
	if len(message) <= bounds.EventText {
		return message
	}
	return strings.ToValidUTF8(message[:bounds.EventText-len("…")], "") + "…"
}

package kit

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// Recorder tells of what happens to objects, as core/v1 Events. Telling never blocks:
// repeated events are counted on one Event, similar ones are joined, and when
// too many wait new ones are dropped.
type Recorder interface {
	Event(object runtime.Object, eventtype, reason, message string)
	Eventf(object runtime.Object, eventtype, reason, messageFmt string, args ...any)
	AnnotatedEventf(object runtime.Object, annotations map[string]string, eventtype, reason, messageFmt string, args ...any)
}

// Events sends the events of all components of a role while it runs.
type Events struct {
	kube      kubernetes.Interface
	log       *slog.Logger
	broadcast record.EventBroadcaster
}

// NewEvents makes a sender; events told before Run are dropped.
func NewEvents(kube kubernetes.Interface, log *slog.Logger) *Events {
	return &Events{kube: kube, log: log, broadcast: record.NewBroadcaster()}
}

// Run sends until ctx is done.
func (e *Events) Run(ctx context.Context) error {
	sink := e.broadcast.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: e.kube.CoreV1().Events(corev1.NamespaceAll)})
	<-ctx.Done()
	sink.Stop()
	e.broadcast.Shutdown()
	return nil
}

// Recorder for a component, which is named as the events' source.
func (e *Events) Recorder(component string) Recorder {
	return e.RecorderOn(component, "")
}

// RecorderOn is a recorder whose events also name the host they come from.
func (e *Events) RecorderOn(component, host string) Recorder {
	return e.broadcast.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component, Host: host})
}

// NewRecorder is for a role with one component: its recorder, and what to run beside it.
func NewRecorder(kube kubernetes.Interface, component string, log *slog.Logger) (Recorder, *Events) {
	e := NewEvents(kube, log)
	return e.Recorder(component), e
}

package conformance

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func events() []behaviour {
	return []behaviour{
		{name: "Event, manage lifecycle of an Event", run: eventLifecycle},
		{name: "Event, delete a collection", run: eventCollection},
		{name: "New Event resource lifecycle, testing a single event", run: newEventLifecycle},
		{name: "New Event resource lifecycle, testing a list of events", run: newEventCollection},
	}
}

func newCoreEvent(f *fixture, name string) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": f.id}}, Message: "by conformance", Reason: "Tested", Type: "Normal", Count: 1,
		InvolvedObject: corev1.ObjectReference{Kind: "Event", Name: name, Namespace: f.ns}}
}

func eventLifecycle(f *fixture) {
	c, sel := f.kube.CoreV1().Events(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	must(c.Create(f.ctx, newCoreEvent(f, "one"), metav1.CreateOptions{}))
	f.expect(len(must(f.kube.CoreV1().Events("").List(f.ctx, sel)).Items) == 1, "the event is not listed in all namespaces")
	got := must(c.Patch(f.ctx, "one", types.StrategicMergePatchType, []byte(`{"message":"patched"}`), metav1.PatchOptions{}))
	f.expect(got.Message == "patched", "message %q", got.Message)
	got.Series = &corev1.EventSeries{Count: 100, LastObservedTime: metav1.NewMicroTime(time.Unix(1505828956, 0))}
	must(c.Update(f.ctx, got, metav1.UpdateOptions{}))
	got = must(c.Get(f.ctx, "one", metav1.GetOptions{}))
	f.expect(got.Series != nil && got.Series.Count == 100 && got.Message == "patched", "series %v", got.Series)
	check(c.Delete(f.ctx, "one", metav1.DeleteOptions{}))
	f.expect(len(must(f.kube.CoreV1().Events("").List(f.ctx, sel)).Items) == 0, "the deleted event is listed")
}

func eventCollection(f *fixture) {
	c, sel := f.kube.CoreV1().Events(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	for i := range 3 {
		must(c.Create(f.ctx, newCoreEvent(f, fmt.Sprintf("e-%d", i)), metav1.CreateOptions{}))
	}
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 3, "not all events are listed")
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 0, "deleted events are listed")
}

func newEvent(f *fixture, name string) *eventsv1.Event {
	return &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": f.id}}, EventTime: metav1.NowMicro(), Note: "by conformance", Reason: "Tested", Type: "Normal",
		Action: "Do", ReportingController: "hyperkube.test/conformance", ReportingInstance: "one", Regarding: corev1.ObjectReference{Kind: "Event", Name: name, Namespace: f.ns}}
}

func newEventLifecycle(f *fixture) {
	c, sel := f.kube.EventsV1().Events(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	must(c.Create(f.ctx, newEvent(f, "one"), metav1.CreateOptions{}))
	f.expect(len(must(f.kube.EventsV1().Events("").List(f.ctx, sel)).Items) == 1, "the event is not listed in all namespaces")
	f.expect(len(must(c.List(f.ctx, metav1.ListOptions{FieldSelector: "reportingController=hyperkube.test/conformance"})).Items) == 1, "the event is not found by its controller")
	must(c.Patch(f.ctx, "one", types.StrategicMergePatchType, []byte(`{"series":{"count":2,"lastObservedTime":"2020-01-01T00:00:00.000000Z"}}`), metav1.PatchOptions{}))
	got := must(c.Get(f.ctx, "one", metav1.GetOptions{}))
	f.expect(got.Series != nil && got.Series.Count == 2, "series %v", got.Series)
	got.Series = &eventsv1.EventSeries{Count: 100, LastObservedTime: metav1.NewMicroTime(time.Unix(1505828956, 0))}
	must(c.Update(f.ctx, got, metav1.UpdateOptions{}))
	got = must(c.Get(f.ctx, "one", metav1.GetOptions{}))
	f.expect(got.Series.Count == 100 && got.Series.LastObservedTime.Unix() == 1505828956, "series %v", got.Series)
	check(c.Delete(f.ctx, "one", metav1.DeleteOptions{}))
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 0, "the deleted event is listed")
}

func newEventCollection(f *fixture) {
	c, sel := f.kube.EventsV1().Events(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id}
	for i := range 3 {
		must(c.Create(f.ctx, newEvent(f, fmt.Sprintf("e-%d", i)), metav1.CreateOptions{}))
	}
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 3, "not all events are listed")
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 0, "deleted events are listed")
}

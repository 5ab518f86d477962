package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"hyperkube/internal/trouble"
)

// sending runs a sender in a bubble until the test ends.
func sending(t *testing.T, e *Events) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestEventsAreCountedAndJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube := fake.NewClientset()
		r, e := NewRecorder(kube, "me", slog.New(slog.DiscardHandler))
		p := pod("a", "u", "7")
		r.Eventf(p, corev1.EventTypeNormal, "Early", "told %s", "before Run")
		sending(t, e)
		for range 3 {
			time.Sleep(time.Millisecond) // names are made of the time
			r.Event(p, corev1.EventTypeWarning, "Again", "the same")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		l, err := kube.CoreV1().Events("n").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, ev := range l.Items {
			have = append(have, fmt.Sprintf("%s %s ×%d %s/%s %s %s", ev.Type, ev.Reason, ev.Count, ev.InvolvedObject.Kind, ev.InvolvedObject.UID, ev.Source.Component, ev.ReportingController))
		}
		if got := strings.Join(have, "; "); got != "Normal Early ×1 Pod/u me me; Warning Again ×3 Pod/u me me" &&
			got != "Warning Again ×3 Pod/u me me; Normal Early ×1 Pod/u me me" {
			t.Error(got)
		}
	})
}

// TestEventsThatCannotBeWritten are told and counted; the rest waits, as far as there is room.
func TestEventsThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		reg := prometheus.NewRegistry()
		kube := fake.NewClientset()
		var refusal atomic.Pointer[error]
		refuse := func(err error) { refusal.Store(&err) }
		refuse(apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no such right")))
		kube.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
			err := *refusal.Load()
			return err != nil, nil, err
		})
		r, e := NewRecorder(kube, "me", slog.New(slog.NewTextHandler(&out, nil)), Failures(trouble.Metric(reg)))
		sending(t, e)
		r.Event(pod("a", "u", "1"), corev1.EventTypeNormal, "Refused", "x")
		time.Sleep(time.Second)
		synctest.Wait()
		if n := counted(t, reg, "writing events"); n != 1 || !strings.Contains(out.String(), "no such right") {
			t.Errorf("counted %v refusals; log:\n%s", n, out.String())
		}
		refuse(errors.New("connection refused"))
		const told = eventsWaiting + 50
		for i := range told {
			r.Event(pod(fmt.Sprint("p", i), "u", "1"), corev1.EventTypeNormal, "Late", "x")
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		dropped := counted(t, reg, "queueing events")
		if dropped < 40 || dropped > 50 || !strings.Contains(out.String(), "queueing events fails") {
			t.Errorf("%v dropped", dropped)
		}
		if n := counted(t, reg, "writing events"); n < 3 {
			t.Errorf("tried %v times", n)
		}
		refuse(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		l, err := kube.CoreV1().Events("n").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(l.Items) != told-int(dropped) {
			t.Errorf("%d events written, want %d (%v)", len(l.Items), told-int(dropped), err)
		}
		for _, want := range []string{"writing events works again", "queueing events works again"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("not told: %s", want)
			}
		}
	})
}

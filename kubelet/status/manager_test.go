package status

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"hyperkube/internal/trouble"

	"github.com/prometheus/client_golang/prometheus"
)

// TestRefused: a status that the API server refuses is told of, keeps nobody waiting, and is sent again when it
// changes and now and then; one of a pod that is gone is not.
func TestRefused(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		err   error
		tries int // in a minute
		told  string
		waits bool // for the pod's end to be known
	}{
		"invalid":     {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil), 9, "sending pod status fails", false},
		"bad request": {apierrors.NewBadRequest("odd patch"), 9, "sending pod status fails", false},
		"not found":   {apierrors.NewNotFound(pods, "p"), 1, "the API has no such pod any more", false},
		"replaced":    {apierrors.NewConflict(pods, "p", nil), 1, "the API has no such pod any more", false},
		"forbidden":   {apierrors.NewForbidden(pods, "p", nil), 11, "sending pod status fails", true},
		"unavailable": {apierrors.NewServiceUnavailable("away"), 11, "sending pod status fails", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
				api, tries, fails := fake.NewClientset(pod), 0, true
				api.PrependReactor("patch", "pods", func(ktesting.Action) (bool, runtime.Object, error) {
					tries++
					return fails, nil, c.err
				})
				ctx, cancel := context.WithCancel(t.Context())
				m := NewManager(api, slog.New(slog.NewTextHandler(&log, nil)), trouble.Metric(prometheus.NewRegistry()))
				sent := false
				m.Set(ctx, pod, v1.PodStatus{Phase: v1.PodRunning}, func() { sent = true })
				synctest.Wait()
				if sent == c.waits {
					t.Errorf("sent is %v", sent)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if tries != c.tries {
					t.Errorf("tried %d times in a minute, want %d", tries, c.tries)
				}
				if !strings.Contains(log.String(), c.told) || strings.Count(log.String(), "\n") > 4 {
					t.Errorf("told:\n%s", log.String())
				}
				fails = false
				m.Set(ctx, pod, v1.PodStatus{Phase: v1.PodFailed}, nil)
				time.Sleep(lastRetry)
				synctest.Wait()
				got, err := api.CoreV1().Pods("ns").Get(ctx, "p", metav1.GetOptions{})
				if err != nil || got.Status.Phase != v1.PodFailed {
					t.Errorf("%v %v", got.Status.Phase, err)
				}
				m.Forget(pod.UID)
				cancel()
				m.Wait()
			})
		})
	}
}

// TestForgotten: nothing of a pod that is gone is kept or tried.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, tries := fake.NewClientset(), 0
		api.PrependReactor("patch", "pods", func(ktesting.Action) (bool, runtime.Object, error) {
			tries++
			return true, nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil)
		})
		m := NewManager(api, slog.New(slog.DiscardHandler), nil)
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
		m.Set(t.Context(), pod, v1.PodStatus{Phase: v1.PodRunning}, nil)
		time.Sleep(time.Minute)
		m.Forget(pod.UID)
		m.Wait() // at once, although the next try is far away
		was := tries
		time.Sleep(time.Hour)
		if tries != was || len(m.pods) != 0 {
			t.Errorf("%d tries of a pod that is gone, %d entries", tries-was, len(m.pods))
		}
	})
}

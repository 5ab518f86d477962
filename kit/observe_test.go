package kit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// moody is a source that fails as it is told to.
type moody struct {
	mu  sync.Mutex
	err error
}

func (m *moody) set(err error) {
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
}

func (m *moody) ListerWatcher(schema.GroupVersionResource, SourceOptions) cache.ListerWatcherWithContext {
	return m
}

func (*moody) IsWatchListSemanticsUnSupported() bool { return true }

func (m *moody) ListWithContext(context.Context, metav1.ListOptions) (runtime.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, m.err
}

func (m *moody) WatchWithContext(context.Context, metav1.ListOptions) (watch.Interface, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return watch.NewFake(), m.err
}

func TestObserversHearOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &moody{err: errors.New("connection refused")}
		f := NewInformers(src, slog.New(slog.DiscardHandler))
		mine, other := f.Scope(), f.Scope()
		var mu sync.Mutex
		heard := map[string]int{}
		mine.Observe(func(resource string, err error) {
			mu.Lock()
			defer mu.Unlock()
			if resource != "pods" {
				t.Errorf("told of %s", resource)
			}
			if heard["failed"] += 1; err == nil {
				heard["failed"], heard["well"] = 0, heard["well"]+1
			}
		})
		others := 0
		other.Observe(func(string, error) { others++ })
		other.Close()
		pods := InformerFor[*corev1.Pod](mine, corev1.SchemeGroupVersion.WithResource("pods"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		time.Sleep(time.Minute) // of the bubble's clock
		mu.Lock()
		if heard["failed"] < 2 || heard["well"] != 0 {
			t.Errorf("heard %v while the source fails", heard)
		}
		mu.Unlock()
		if pods.Synced() {
			t.Error("synced without a list")
		}
		src.set(nil)
		if err := pods.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		if heard["failed"] != 0 || heard["well"] == 0 {
			t.Errorf("heard %v after it", heard)
		}
		mu.Unlock()
		if others != 0 {
			t.Error("a closed scope was told")
		}
		before := heard["failed"]
		for _, err := range []error{io.EOF, apierrors.NewResourceExpired("old"), apierrors.NewGone("gone")} {
			f.outcome(ctx, "pods", err)
		}
		if heard["failed"] != before {
			t.Error("the usual end of a watch counts as a failure")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

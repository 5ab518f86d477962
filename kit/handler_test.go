package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"hyperkube/internal/trouble"
)

var podsResource = corev1.SchemeGroupVersion.WithResource("pods")

// lists is a source whose lists and watches are what the test says.
type lists struct {
	mu    sync.Mutex
	items []*corev1.Pod
	err   error
	hang  bool // answer nothing
	watch *watch.FakeWatcher
}

func (l *lists) set(err error, items ...*corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.items = err, items
}

func (l *lists) ListerWatcher(schema.GroupVersionResource, SourceOptions) cache.ListerWatcherWithContext {
	return plainLists{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.hang {
				l.mu.Unlock()
				<-ctx.Done()
				l.mu.Lock()
				return nil, ctx.Err()
			}
			if l.err != nil {
				return nil, l.err
			}
			out := &List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
			for _, p := range l.items {
				out.Items = append(out.Items, p)
			}
			return out, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.err != nil {
				return nil, l.err
			}
			l.watch = watch.NewFakeWithChanSize(10, false)
			return l.watch, nil
		},
	}}
}

// send tells the watch of something.
func (l *lists) send(f func(*watch.FakeWatcher)) {
	l.mu.Lock()
	w := l.watch
	l.mu.Unlock()
	f(w)
}

func pod(name string, uid types.UID, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: uid, ResourceVersion: version}}
}

// counted is how often a registry says that something failed.
func counted(t *testing.T, reg *prometheus.Registry, what string) float64 {
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == "hyperkube_failures_total" && len(l) == 1 && l[0].GetValue() == what {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// running runs informers over a source in a bubble until the test ends.
func running(t *testing.T, src Source, log *slog.Logger, o ...Option) *Informers {
	f := NewInformers(src, log, o...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// TestReplacedUnderItsName: what became another object between two lists went and came.
func TestReplacedUnderItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &lists{items: []*corev1.Pod{pod("a", "old", "1"), pod("b", "b", "1")}}
		f := running(t, src, slog.New(slog.DiscardHandler))
		var mu sync.Mutex
		var told []string
		say := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf(format, args...))
		}
		InformerFor[*corev1.Pod](f, podsResource).OnChange(Handler[*corev1.Pod]{
			Add:    func(p *corev1.Pod, initial bool) { say("add %s %t", p.UID, initial) },
			Update: func(old, p *corev1.Pod) { say("update %s %s", old.UID, p.UID) },
			Delete: func(p *corev1.Pod) { say("delete %s", p.UID) },
		})
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		told = nil
		mu.Unlock()
		src.set(nil, pod("a", "new", "3"), pod("b", "b", "2"))
		src.send(func(w *watch.FakeWatcher) {
			w.Error(&metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		have := strings.Join(told, "; ")
		if !strings.Contains(have, "delete old; add new false") || strings.Contains(have, "update old") || !strings.Contains(have, "update b b") {
			t.Errorf("told: %s", have)
		}
	})
}

// TestAHandlerThatPanics: it is told again of what it missed, others are told as ever, and it is said
// and counted.
func TestAHandlerThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		reg := prometheus.NewRegistry()
		src := &lists{items: []*corev1.Pod{pod("a", "a", "1")}}
		f := running(t, src, slog.New(slog.NewTextHandler(&out, nil)), Failures(trouble.Metric(reg)))
		i := InformerFor[*corev1.Pod](f, podsResource)
		i.AddIndex("odd", func(p *corev1.Pod) []string {
			if p.Name == "odd" {
				panic("odd object")
			}
			return []string{"even"}
		})
		tries, others := 0, 0
		i.OnChange(Handler[*corev1.Pod]{Add: func(p *corev1.Pod, _ bool) {
			if p.Name == "b" {
				if tries++; tries < 3 {
					panic("bad object")
				}
			}
		}})
		i.OnChange(Any(func(*corev1.Pod) { others++ }))
		time.Sleep(time.Second)
		src.send(func(w *watch.FakeWatcher) { w.Add(pod("b", "b", "2")); w.Add(pod("odd", "odd", "3")) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries != 3 {
			t.Errorf("told %d times, want until it takes it: 3", tries)
		}
		if others != 3 {
			t.Errorf("the other handler was told %d times, want 3", others)
		}
		if len(i.ByIndex("odd", "even")) != 2 || i.Len() != 3 {
			t.Error("the store does not hold what it should")
		}
		if n := counted(t, reg, "handling changes of pods"); n != 3 {
			t.Errorf("counted %v, want 3", n)
		}
		for _, want := range []string{"bad object", "object=n/b", "stack="} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log does not say %s:\n%s", want, out.String())
			}
		}
	})
}

// TestAMissedChangeOfWhatIsGone is not told: the going was.
func TestAMissedChangeOfWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &lists{}
		f := running(t, src, slog.New(slog.DiscardHandler))
		adds, deletes := 0, 0
		InformerFor[*corev1.Pod](f, podsResource).OnChange(Handler[*corev1.Pod]{
			Add:    func(*corev1.Pod, bool) { adds++; panic("bad object") },
			Delete: func(*corev1.Pod) { deletes++ },
		})
		time.Sleep(time.Second)
		src.send(func(w *watch.FakeWatcher) { w.Add(pod("a", "a", "2")); w.Delete(pod("a", "a", "3")) })
		time.Sleep(time.Hour)
		synctest.Wait()
		if adds != 1 || deletes != 1 {
			t.Errorf("%d adds, %d deletes, want one of each", adds, deletes)
		}
	})
}

// TestBatchesContainPanics: they are errors of the call.
func TestBatchesContainPanics(t *testing.T) {
	bad := func(_ context.Context, i int) error {
		if i == 3 {
			panic("bad item")
		}
		return nil
	}
	if err := Parallel(t.Context(), 10, 4, bad); err == nil || !strings.Contains(err.Error(), "bad item") {
		t.Errorf("Parallel: %v", err)
	}
	if done, err := SlowStart(t.Context(), 10, 1, bad); err == nil || done >= 10 {
		t.Errorf("SlowStart: %d done, %v", done, err)
	}
}

// TestReadingIsToldWhenItFails: at once, then with pauses, counted, and once more when it works.
func TestReadingIsToldWhenItFails(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no such right"))
	gone := errors.New("connection refused")
	for _, x := range []struct {
		name, what string
		err        error
		hang       bool
	}{
		{name: "refused", what: "watching pods", err: forbidden},
		{name: "gone", what: "reading from the API server", err: gone},
		{name: "not known", what: "reading from the API server", err: apierrors.NewUnauthorized("who are you")},
		{name: "answers nothing", what: "reading from the API server", hang: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				reg := prometheus.NewRegistry()
				src := &lists{err: x.err, hang: x.hang}
				f := running(t, src, slog.New(slog.NewTextHandler(&out, nil)), Failures(trouble.Metric(reg)))
				i := InformerFor[*corev1.Pod](f, podsResource)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := counted(t, reg, x.what); n < 2 {
					t.Errorf("counted %v failures", n)
				}
				lines := strings.Count(out.String(), x.what+" fails")
				if lines < 1 || lines > 8 {
					t.Errorf("%d lines in 10 minutes, want a few:\n%s", lines, out.String())
				}
				src.mu.Lock()
				src.err, src.hang = nil, false
				src.mu.Unlock()
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if !i.Synced() || !strings.Contains(out.String(), x.what+" works again") {
					t.Errorf("synced %t; log:\n%s", i.Synced(), out.String())
				}
			})
		})
	}
}

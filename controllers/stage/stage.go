// Package stage lets a test decide which informer of a controller hears what, and when: the
// order in which a controller learns of a pod and of its node is otherwise left to chance.
//
//	s := stage.New(t, objects…)     // what the API server holds
//	s.Run(nodelifecycle.New)
//	s.Add(node); s.Settle(); s.Add(pod)
//
// It belongs into a synctest bubble: Settle waits until every goroutine is idle.
package stage

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

// Stage is a kit.Source of informers that hear what Add, Modify and Delete tell them.
type Stage struct {
	Kube *fake.Clientset // takes the writes
	Env  *env.Env

	t       testing.TB
	mu      sync.Mutex
	watches map[schema.GroupVersionResource][]*watch.FakeWatcher
	first   map[schema.GroupVersionResource][]runtime.Object
}

// New makes a stage on which informers start empty; held is what the API server answers with.
func New(t testing.TB, held ...runtime.Object) *Stage {
	s := &Stage{t: t, Kube: fake.NewClientset(held...), watches: map[schema.GroupVersionResource][]*watch.FakeWatcher{},
		first: map[schema.GroupVersionResource][]runtime.Object{}}
	log := slog.New(slog.DiscardHandler)
	s.Env = &env.Env{
		Kube: s.Kube, Informers: kit.NewInformers(s, log), Events: kit.NewEvents(s.Kube, log), Log: log,
		Config: env.Config{}.WithDefaults(),
	}
	return s
}

// First puts objects into the informers' first lists. It comes before Run.
func (s *Stage) First(objs ...runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objs {
		gvr := s.resourceOf(o)
		s.first[gvr] = append(s.first[gvr], o)
	}
}

// Run starts a controller and its informers until the test ends.
func (s *Stage) Run(build func(*env.Env) (env.Runner, error)) {
	s.t.Helper()
	r, err := build(s.Env)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- env.Group{s.Env.Events, s.Env.Informers, r}.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.Settle()
}

// Settle waits until nothing moves any more, and lets a second of the bubble's clock pass for what
// waits for a tick.
func (s *Stage) Settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// Add tells the informers of an object's kind that it is there.
func (s *Stage) Add(o runtime.Object) { s.tell(o, (*watch.FakeWatcher).Add) }

// Modify tells them that it changed.
func (s *Stage) Modify(o runtime.Object) { s.tell(o, (*watch.FakeWatcher).Modify) }

// Delete tells them that it is gone.
func (s *Stage) Delete(o runtime.Object) { s.tell(o, (*watch.FakeWatcher).Delete) }

// Count is how many requests of a verb a resource has had.
func (s *Stage) Count(verb, resource string) int {
	n := 0
	for _, a := range s.Kube.Actions() {
		if a.Matches(verb, resource) {
			n++
		}
	}
	return n
}

func (s *Stage) tell(o runtime.Object, how func(*watch.FakeWatcher, runtime.Object)) {
	s.mu.Lock()
	watches := s.watches[s.resourceOf(o)]
	s.mu.Unlock()
	for _, w := range watches {
		how(w, o.DeepCopyObject())
	}
	s.Settle()
}

func (s *Stage) resourceOf(o runtime.Object) schema.GroupVersionResource {
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		s.t.Fatal(err)
	}
	plural, _ := meta.UnsafeGuessKindToResource(kinds[0])
	return plural
}

// ListerWatcher implements kit.Source.
func (s *Stage) ListerWatcher(gvr schema.GroupVersionResource, _ kit.SourceOptions) cache.ListerWatcherWithContext {
	return plainLists{&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return &kit.List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: s.first[gvr]}, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			w := watch.NewFakeWithChanSize(100, false)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.watches[gvr] = append(s.watches[gvr], w)
			return w, nil
		},
	}}
}

type plainLists struct{ *cache.ListWatch }

func (plainLists) IsWatchListSemanticsUnSupported() bool { return true }

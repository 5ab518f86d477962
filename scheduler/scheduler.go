// Package scheduler gives pods their nodes.
//
//	informers ─▶ inbox ─▶ ┌──────────────── one goroutine ───────────────┐
//	                      │ apply changes ─▶ queue.Pop ─▶ decide ─▶ assume │ ─▶ binders (bounded) ─▶ API
//	                      └───────────────────────────────────────────────┘
//
// Contract: the model of the cluster belongs to the loop's goroutine, so a cycle
// needs no lock and no copy. A placed pod is assumed to be on its node at once;
// the API's answer confirms or takes it back. A pod that fits nowhere is parked
// until something changes that may help it. Nothing is decided from wall-clock
// time but backoff.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"hyperkube/kit"
	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/plugins"
	"hyperkube/scheduler/queue"
	"hyperkube/scheduler/snapshot"
)

// Options of a Scheduler. Kube, Informers, Recorder and Logger are required.
type Options struct {
	Kube      kubernetes.Interface
	Informers *kit.Informers
	Recorder  kit.Recorder
	Logger    *slog.Logger
	Registry  prometheus.Registerer // nil counts for nobody
	// Names of the profiles: pods with another spec.schedulerName are not ours.
	Names   []string
	Plugins []framework.Plugin // nil: plugins.All()
	// Binders is how many bindings may be under way.
	Binders int
	Now     func() time.Time
}

// Scheduler is made with New.
type Scheduler struct {
	o          Options
	names      map[string]bool
	pods       *kit.Informer[*corev1.Pod]
	nodes      *kit.Informer[*corev1.Node]
	namespaces *kit.Informer[*corev1.Namespace]
	budgets    budgets
	inbox      *inbox
	queue      *queue.Queue
	model      *snapshot.Model
	decider    *decide.Decider
	metrics    *metrics
	next       int // where the next pod starts to look
	binders    chan struct{}
	binding    sync.WaitGroup
}

// New wires the scheduler to its informers; nothing runs yet.
func New(o Options) (*Scheduler, error) {
	if o.Kube == nil || o.Informers == nil || o.Recorder == nil || o.Logger == nil {
		return nil, fmt.Errorf("scheduler: Kube, Informers, Recorder and Logger are required")
	}
	if o.Names == nil {
		o.Names = []string{corev1.DefaultSchedulerName}
	}
	if o.Plugins == nil {
		o.Plugins = plugins.All()
	}
	if o.Binders == 0 {
		o.Binders = 32
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Scheduler{
		o: o, names: map[string]bool{}, inbox: newInbox(), queue: queue.New(o.Now), model: snapshot.New(),
		decider: decide.New(o.Plugins), binders: make(chan struct{}, o.Binders), metrics: newMetrics(o.Registry),
	}
	for _, n := range o.Names {
		s.names[n] = true
	}
	s.watch(o.Informers)
	return s, nil
}

// Run schedules until ctx ends and returns when no binding is under way.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.binding.Wait()
	for _, synced := range []func(context.Context) error{s.pods.WaitSynced, s.nodes.WaitSynced, s.namespaces.WaitSynced, s.budgets.informer.WaitSynced} {
		if err := synced(ctx); err != nil {
			return nil // told to stop before the first list was in
		}
	}
	for {
		s.takeChanges()
		it, err := s.queue.Pop(ctx, s.inbox.ready)
		if err != nil {
			return nil
		}
		s.takeChanges()
		if it != nil {
			s.cycle(ctx, it)
		}
	}
}

// cycle is one attempt to place one pod.
func (s *Scheduler) cycle(ctx context.Context, it *queue.Item) {
	began := s.o.Now()
	if !s.queue.Has(it.Pod.UID) || it.Pod.DeletionTimestamp != nil {
		s.queue.Remove(it.Pod.UID)
		return
	}
	d := s.decider.Decide(it.Pod, s.model, s.next)
	if n := len(s.model.Nodes()); n > 0 {
		s.next = (s.next + d.Evaluated) % n
	}
	if d.Node == nil {
		s.metrics.attempt("unschedulable", s.o.Now().Sub(began))
		s.fail(ctx, it, d)
		return
	}
	s.model.Place(it.Pod, d.Node.Name)
	s.bind(ctx, it, d.Node.Name, began)
}

// namespacesMatching resolves namespace selectors of affinity terms.
func (s *Scheduler) namespacesMatching(sel labels.Selector) []string {
	var out []string
	for _, n := range s.namespaces.List() {
		if sel.Matches(labels.Set(n.Labels)) {
			out = append(out, n.Name)
		}
	}
	return out
}

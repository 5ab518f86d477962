// Package scheduler gives pods their nodes.
//
//	informers ─▶ inbox ─▶ ┌──────────────── one goroutine ────────────────┐
//	                      │ take changes ─▶ queue.Pop ─▶ decide ─▶ assume │ ─▶ binders (bounded) ─▶ API
//	                      └───────────────────────────────────────────────┘
//
// Contract: the model of the cluster belongs to the loop's goroutine, so a cycle
// needs no lock and no copy. A placed pod is assumed to be on its node at once;
// the informer confirms it, or a refusal of the API takes it back. A pod that fits
// nowhere is parked until something changes that may help it. Nothing is decided
// from wall-clock time but backoff. Whether a node may be used is said by its
// taints alone, as the node lifecycle controller sets them, not by conditions.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/supervise"
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
	// Profiles: pods whose spec.schedulerName is none of theirs are not ours.
	// None is one profile named default-scheduler.
	Profiles []Profile
	// Binders is how many writes to the API may be under way.
	Binders int
	Now     func() time.Time
}

// Profile is a scheduler by name with its plugins; nil plugins are plugins.All().
type Profile struct {
	Name    string
	Plugins []framework.Plugin
}

// Scheduler is made with New.
type Scheduler struct {
	o        Options
	profiles map[string]*decide.Decider
	informers
	inbox   *inbox
	queue   *queue.Queue
	model   *snapshot.Model
	gated   map[types.UID]bool
	making  map[types.UID]bool // pods for which room is being made: victims not all told yet
	metrics *metrics
	next    int // where the next pod starts to look
	placed  int // assumed since parked pods were last told
	binders chan struct{}
	binding sync.WaitGroup
}

// New wires the scheduler to its informers; nothing runs yet.
func New(o Options) (*Scheduler, error) {
	if o.Kube == nil || o.Informers == nil || o.Recorder == nil || o.Logger == nil {
		return nil, fmt.Errorf("scheduler: Kube, Informers, Recorder and Logger are required")
	}
	if len(o.Profiles) == 0 {
		o.Profiles = []Profile{{Name: corev1.DefaultSchedulerName}}
	}
	if o.Binders <= 0 {
		o.Binders = 32
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Scheduler{
		o: o, profiles: map[string]*decide.Decider{}, informers: informersOf(o.Informers), inbox: newInbox(),
		gated: map[types.UID]bool{}, making: map[types.UID]bool{}, metrics: newMetrics(), binders: make(chan struct{}, o.Binders),
	}
	s.queue = queue.New(o.Now, s.metrics.moved)
	s.model = snapshot.New(s.informers)
	for _, p := range o.Profiles {
		if _, twice := s.profiles[p.Name]; twice || p.Name == "" {
			return nil, fmt.Errorf("scheduler: profile name %q is empty or there twice", p.Name)
		}
		if p.Plugins == nil {
			p.Plugins = plugins.All()
		}
		s.profiles[p.Name] = decide.New(p.Plugins)
	}
	if o.Registry != nil {
		if err := s.metrics.register(o.Registry, s.queue); err != nil {
			return nil, fmt.Errorf("scheduler: %w", err)
		}
	}
	s.watch()
	return s, nil
}

// Run schedules until ctx ends and returns when no write is under way.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.inbox.close()
	defer s.binding.Wait()
	if !s.waitSynced(ctx) {
		return nil // told to stop before the first lists were in
	}
	s.seed()
	for {
		s.takeChanges()
		it, err := s.queue.Pop(ctx, s.inbox.ready)
		if err != nil {
			return nil
		}
		s.takeChanges()
		if it != nil {
			s.attempt(ctx, it)
		}
	}
}

// attempt is a cycle whose panic is the pod's failure: one pod that a plugin cannot judge must
// not keep the others from their nodes. The model may have been left half changed, so it is made
// anew.
func (s *Scheduler) attempt(ctx context.Context, it *queue.Item) {
	err := supervise.Contain("scheduler", func() error { s.cycle(ctx, it); return nil })
	if err == nil {
		return
	}
	s.panicked(err, "pod", kit.KeyOf(it.Pod))
	s.metrics.result(it.Pod.Spec.SchedulerName, "error", 0)
	s.rebuild()
	if _, assumed := s.model.Pod(it.Pod.UID); !assumed {
		s.queue.Requeue(it, 0, nil)
	}
}

// rebuild makes the model from what the informers have and what is being bound.
func (s *Scheduler) rebuild() {
	var assumed []snapshot.Placed
	s.model.Each(func(e snapshot.Placed) {
		if e.Assumed {
			assumed = append(assumed, e)
		}
	})
	s.model = snapshot.New(s.informers)
	for _, n := range s.nodes.List() {
		s.model.SetNode(n)
	}
	for _, e := range assumed {
		s.model.Assume(s.compile(e.Pod.Pod), e.Node)
	}
	for _, p := range s.pods.List() {
		if p.Spec.NodeName != "" && !over(p) {
			s.contained(p.UID, p)
		}
	}
	s.queue.Each(func(it *queue.Item) {
		if _, placed := s.model.Pod(it.Pod.UID); placed {
			return
		}
		it.Pod.Node = nil
		if node := it.Pod.Status.NominatedNodeName; node != "" {
			s.model.Nominate(it.Pod, node)
		}
	})
}

func (s *Scheduler) panicked(err error, args ...any) {
	var p *supervise.Panic
	if errors.As(err, &p) {
		args = append(args, "panic", p.Value, "stack", string(p.Stack))
	}
	s.o.Logger.Error("scheduler panicked, going on", args...)
}

// cycle is one attempt to place one pod.
func (s *Scheduler) cycle(ctx context.Context, it *queue.Item) {
	if now, ok := s.queue.Get(it.Pod.UID); !ok || now != it {
		return // gone, or placed, since it was popped
	}
	began := s.o.Now()
	decider := s.profiles[it.Pod.Spec.SchedulerName]
	d := decider.Decide(it.Pod, s.model, s.next)
	s.next = d.Next(s.next, len(s.model.Nodes()))
	took := s.o.Now().Sub(began)
	s.metrics.algorithm.Observe(took.Seconds())
	if d.Node == nil {
		s.metrics.result(it.Pod.Spec.SchedulerName, "unschedulable", took)
		s.fail(ctx, it, decider, d)
		return
	}
	if n := s.model.NominatedNode(it.Pod.UID); n != nil && n != d.Node {
		s.wake(framework.NominationGone)
	}
	s.model.Assume(it.Pod, d.Node.Name)
	s.placed++
	s.bind(ctx, it, d.Node.Name, began)
}

// write performs f in a goroutine of its own when one of the binders is free.
// Once begun it is carried through although ctx ends.
func (s *Scheduler) write(ctx context.Context, f func(context.Context)) {
	select {
	case s.binders <- struct{}{}:
	case <-ctx.Done():
		return
	}
	ctx = context.WithoutCancel(ctx)
	s.binding.Go(func() {
		defer func() { <-s.binders }()
		if err := supervise.Contain("binder", func() error { f(ctx); return nil }); err != nil {
			s.panicked(err)
		}
	})
}

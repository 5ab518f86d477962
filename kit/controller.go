package kit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/supervise"
)

// Key names what a reconcile works on: mostly an object.
type Key struct{ Namespace, Name string }

// String is namespace/name, or name alone.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}

// LogValue keeps the key one word in logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// group is whom a key makes wait: those of a namespace take turns with those of others.
func (k Key) group() string { return k.Namespace }

// KeyOf is the key of an object.
func KeyOf(o metav1.Object) Key { return Key{o.GetNamespace(), o.GetName()} }

// Result of a reconcile that did not fail.
type Result struct {
	After time.Duration // when above zero: reconcile this key again after that long
}

// After asks for another reconcile of the key after d; d ≤ 0 asks for none.
func After(d time.Duration) Result { return Result{After: d} }

// Sooner is the shorter of two delays of which zero means none.
func Sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// Reconcile brings one key from what is to what should be. An error is tried again
// with backoff, unless Terminal marks it.
type Reconcile func(ctx context.Context, key Key) (Result, error)

// Terminal marks an error that trying again would not cure. The key is reconciled
// again only when something it depends on changes.
func Terminal(err error) error {
	if err == nil {
		return nil
	}
	return &terminal{err}
}

type terminal struct{ error }

func (t *terminal) Unwrap() error { return t.error }

// ControllerOptions configure a Controller. Name, Reconcile and Log are needed.
type ControllerOptions struct {
	Name        string
	Workers     int           // 1 when zero
	BaseBackoff time.Duration // after the first failure; 5 ms when zero
	MaxBackoff  time.Duration // 1000 s when zero
	Reconcile   Reconcile
	Log         *slog.Logger
	Metrics     *Metrics // may be nil
}

// Controller is the one loop: informers' changes become keys, keys wait in a queue, in which
// namespaces take turns, workers reconcile them.
type Controller struct {
	o     ControllerOptions
	queue *Queue[Key]

	mu     sync.Mutex
	synced []func() bool
	waits  []awaited
	offers *Offers // nil: nothing is offered
}

// awaited is an informer that must have its first list before the controller works.
type awaited struct {
	resource string
	synced   func(context.Context) error
}

// waitQuietly is how long the first lists may take without a word.
const waitQuietly = 10 * time.Second

// NewController makes a controller that does nothing until Run. Keys may be added at once.
func NewController(o ControllerOptions) *Controller {
	o.Workers = max(o.Workers, 1)
	if o.BaseBackoff == 0 {
		o.BaseBackoff = 5 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 1000 * time.Second
	}
	o.Log = o.Log.With("controller", o.Name)
	return &Controller{o: o, queue: newQueue(o.BaseBackoff, o.MaxBackoff, o.Metrics.queue(o.Name), Key.group)}
}

// Name of the controller.
func (c *Controller) Name() string { return c.o.Name }

// Log is the controller's logger.
func (c *Controller) Log() *slog.Logger { return c.o.Log }

// Add asks for a reconcile of a key.
func (c *Controller) Add(k Key) { c.queue.Add(k) }

// AddAfter asks for a reconcile of a key after d.
func (c *Controller) AddAfter(k Key, d time.Duration) { c.queue.AddAfter(k, d) }

// Failures is how often in a row a key failed to reconcile.
func (c *Controller) Failures(k Key) int { return c.queue.Failures(k) }

// Watch reconciles the keys that keys gives for every object that appears, changes or
// goes. For a changed object both states are asked.
func Watch[T Object](c *Controller, i *Informer[T], keys func(T) []Key) {
	add := func(obj T) {
		for _, k := range keys(obj) {
			c.Add(k)
		}
	}
	WatchWith(c, i, Handler[T]{
		Add:    func(obj T, _ bool) { add(obj) },
		Update: func(old, obj T) { add(old); add(obj) },
		Delete: add,
	})
}

// WatchSelf reconciles the objects of an informer under their own keys.
func WatchSelf[T Object](c *Controller, i *Informer[T]) {
	WatchWith(c, i, Any(func(obj T) { c.Add(KeyOf(obj)) }))
}

// WatchWith lets h decide what to add.
func WatchWith[T Object](c *Controller, i *Informer[T], h Handler[T]) {
	synced := i.OnChange(h)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced = append(c.synced, synced)
	c.waits = append(c.waits, awaited{i.shared.gvr.Resource, i.WaitSynced})
}

// Needs makes Run wait for an informer that is only read.
func Needs[T Object](c *Controller, i *Informer[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = append(c.waits, awaited{i.shared.gvr.Resource, i.WaitSynced})
}

// Run waits for the informers, then reconciles until ctx is done, and returns when the last
// worker has.
func (c *Controller) Run(ctx context.Context) error {
	defer c.queue.close()
	if err := c.waitSynced(ctx); err != nil {
		return nil // ctx ended first
	}
	c.o.Log.Debug("controller runs", "workers", c.o.Workers)
	var workers sync.WaitGroup
	for range c.o.Workers {
		workers.Go(func() { c.keepWorking(ctx) })
	}
	workers.Wait()
	return nil
}

func (c *Controller) waitSynced(ctx context.Context) error {
	c.mu.Lock()
	waits, synced := c.waits, c.synced
	c.mu.Unlock()
	for _, w := range waits {
		late := time.AfterFunc(waitQuietly, func() { c.o.Log.Warn("controller waits for what it reads", "resource", w.resource) })
		err := w.synced(ctx)
		late.Stop()
		if err != nil {
			return err
		}
	}
	// The stores are full; what the handlers lag behind is only a channel's length.
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for _, ok := range synced {
		for !ok() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
	return nil
}

// keepWorking works on until ctx is done, whatever a worker meets.
func (c *Controller) keepWorking(ctx context.Context) {
	for {
		err := supervise.Contain("worker of "+c.o.Name, func() error { c.work(ctx); return nil })
		if err == nil {
			return
		}
		c.panicked(err)
	}
}

func (c *Controller) panicked(err error, args ...any) {
	var p *supervise.Panic
	if errors.As(err, &p) {
		args = append(args, "panic", p.Value, "stack", string(p.Stack))
	}
	c.o.Log.Error("controller panicked", args...)
}

func (c *Controller) work(ctx context.Context) {
	for {
		key, ok := c.queue.Get(ctx)
		if !ok {
			return
		}
		c.one(ctx, key)
	}
}

func (c *Controller) one(ctx context.Context, key Key) {
	defer c.queue.Done(key)
	res, err := c.contain(ctx, key)
	var stop *terminal
	switch {
	case err == nil:
		c.queue.Forget(key)
		if res.After > 0 {
			c.queue.AddAfter(key, res.After)
		}
	case ctx.Err() != nil:
	case errors.As(err, &stop):
		c.queue.Forget(key)
		c.o.Log.Warn("reconcile gave up", "key", key, "err", err)
	default:
		c.queue.Retry(key)
		level := slog.LevelWarn
		if apierrors.IsConflict(err) || apierrors.HasStatusCause(err, "NamespaceTerminating") {
			level = slog.LevelDebug // another writer was first; the next round sees its write
		}
		c.o.Log.Log(ctx, level, "reconcile failed, will retry", "key", key, "err", err)
	}
}

// contain turns a panic into an error, so that one bad object stops only itself.
func (c *Controller) contain(ctx context.Context, key Key) (res Result, err error) {
	err = supervise.Contain(c.o.Name, func() error {
		if key.Name == offered {
			return c.offers.compare(c, key)
		}
		res, err = c.o.Reconcile(ctx, key)
		return err
	})
	var p *supervise.Panic
	if errors.As(err, &p) {
		c.panicked(err, "key", key)
		return Result{}, fmt.Errorf("panic: %v", p.Value)
	}
	return res, err
}

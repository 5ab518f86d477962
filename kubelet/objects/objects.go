// Package objects keeps the config maps and secrets that this node's pods refer to, each by a watch of its own
// (a node may not list them all) that lives as long as some pod refers to it.
package objects

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/bounds"
	"hyperkube/kit"
	"hyperkube/kubelet/volume"
)

// Kind tells the two sorts of objects apart.
type Kind string

// The sorts.
const (
	ConfigMap Kind = "configmaps"
	Secret    Kind = "secrets"
)

// syncTimeout bounds how long a reader waits for an object's first state.
const syncTimeout = 20 * time.Second

// Key names an object.
type Key struct {
	Kind            Kind
	Namespace, Name string
}

// Cache holds the watched objects. Its zero value is not usable.
type Cache struct {
	ctx      context.Context
	src      kit.Source
	log      *slog.Logger
	onChange func(pods []types.UID)

	mu    sync.Mutex
	items map[Key]*item
	wg    sync.WaitGroup
}

type item struct {
	cancel  context.CancelFunc
	pods    map[types.UID]bool
	wait    func(context.Context) error
	current func() kit.Object // nil when there is none
}

// New returns a cache whose watches end with ctx. onChange is told which pods refer to an object that changed.
func New(ctx context.Context, src kit.Source, log *slog.Logger, onChange func(pods []types.UID)) *Cache {
	return &Cache{ctx: ctx, src: src, log: log, onChange: onChange, items: map[Key]*item{}}
}

// wanted is what a pod refers to, up to the number that is watched for one.
func wanted(pod *v1.Pod) map[Key]bool {
	cms, secrets := volume.Refs(pod)
	want := map[Key]bool{}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if len(want) < bounds.References {
			want[Key{Secret, pod.Namespace, name}] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cms)) {
		if len(want) < bounds.References {
			want[Key{ConfigMap, pod.Namespace, name}] = true
		}
	}
	return want
}

// Use declares what a pod refers to, replacing what it referred to before.
func (c *Cache) Use(pod *v1.Pod) {
	want := wanted(pod)
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range want {
		if c.items[k] == nil {
			c.items[k] = c.start(k)
		}
		c.items[k].pods[pod.UID] = true
	}
	for k, it := range c.items {
		if it.pods[pod.UID] && !want[k] {
			c.release(k, it, pod.UID)
		}
	}
}

// Forget ends a pod's references.
func (c *Cache) Forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, it := range c.items {
		if it.pods[uid] {
			c.release(k, it, uid)
		}
	}
}

func (c *Cache) release(k Key, it *item, uid types.UID) {
	delete(it.pods, uid)
	if len(it.pods) == 0 {
		it.cancel()
		delete(c.items, k)
	}
}

func (c *Cache) start(k Key) *item {
	ctx, cancel := context.WithCancel(c.ctx)
	it := &item{cancel: cancel, pods: map[types.UID]bool{}}
	informers := kit.NewInformers(c.src, c.log)
	if k.Kind == ConfigMap {
		attach[*v1.ConfigMap](c, informers, k, it)
	} else {
		attach[*v1.Secret](c, informers, k, it)
	}
	c.wg.Go(func() { _ = informers.Run(ctx) })
	return it
}

func attach[T kit.Object](c *Cache, informers *kit.Informers, k Key, it *item) {
	inf := kit.Filtered[T](informers, v1.SchemeGroupVersion.WithResource(string(k.Kind)),
		kit.SourceOptions{Namespace: k.Namespace, FieldSelector: "metadata.name=" + k.Name})
	it.wait = inf.WaitSynced
	it.current = func() kit.Object {
		if o, ok := inf.Get(k.Namespace, k.Name); ok {
			return o
		}
		return nil
	}
	inf.OnChange(kit.Handler[T]{
		Add: func(_ T, initial bool) {
			if !initial {
				c.changed(k)
			}
		},
		Update: func(_, _ T) { c.changed(k) },
		Delete: func(T) { c.changed(k) },
	})
}

func (c *Cache) changed(k Key) {
	c.mu.Lock()
	var pods []types.UID
	if it := c.items[k]; it != nil {
		for uid := range maps.Keys(it.pods) {
			pods = append(pods, uid)
		}
	}
	c.mu.Unlock()
	c.onChange(pods)
}

func (c *Cache) get(ctx context.Context, k Key) (kit.Object, error) {
	c.mu.Lock()
	it := c.items[k]
	c.mu.Unlock()
	if it == nil {
		return nil, fmt.Errorf("%s %s/%s is not among the first %d config maps and secrets that a pod of this node refers to", k.Kind, k.Namespace, k.Name, bounds.References)
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if err := it.wait(ctx); err != nil {
		return nil, fmt.Errorf("failed to sync %s cache: %w", k.Kind, err)
	}
	return it.current(), nil
}

// ConfigMap returns the current config map; nil when it does not exist.
func (c *Cache) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	o, err := c.get(ctx, Key{ConfigMap, namespace, name})
	if err != nil || o == nil {
		return nil, err
	}
	return o.(*v1.ConfigMap), nil
}

// Secret returns the current secret; nil when it does not exist.
func (c *Cache) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	o, err := c.get(ctx, Key{Secret, namespace, name})
	if err != nil || o == nil {
		return nil, err
	}
	return o.(*v1.Secret), nil
}

// Wait returns when every watch has ended, after the cache's ctx has.
func (c *Cache) Wait() { c.wg.Wait() }

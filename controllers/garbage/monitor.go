package garbage

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/supervise"
	"hyperkube/kit"
)

const (
	refreshEvery = 15 * time.Minute // should an event of new kinds be missed
	refreshAgain = 30 * time.Second // after groups did not answer
	settle       = 2 * time.Second  // from the news of kinds to asking for them
	retryAfter   = time.Second
	syncWithin   = 30 * time.Second
)

// announcing are the groups whose objects make kinds appear and go.
var announcing = map[string]bool{"apiextensions.k8s.io": true, "apiregistration.k8s.io": true}

// monitor watches the metadata of whatever kinds there are and runs the collector over it. It asks for
// the kinds when an object that announces kinds changes and when an owner's kind is unknown.
type monitor struct {
	*collector
	watched map[resource]*watched
	partial bool // some groups did not answer
}

type watched struct {
	informer *kit.Informer[kit.Object]
	told     func() bool // the graph has all objects of the first list
}

// Run first learns all kinds and sees all their objects, then collects.
func (m *monitor) Run(ctx context.Context) error {
	for !m.learn(ctx) {
		if !supervise.Pause(ctx, retryAfter) {
			return nil
		}
	}
	m.await(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer cancel() // without its loop the rest is of no use
		done <- supervise.Contain("garbage collector", func() error { return m.loop.Run(ctx) })
	}()
	for m.news(ctx) {
		if m.learn(ctx) {
			m.await(ctx)
		}
	}
	return <-done
}

// news waits until the kinds should be asked for again; false when ctx is done.
func (m *monitor) news(ctx context.Context) bool {
	after := refreshEvery
	if m.partial {
		after = refreshAgain
	}
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	case <-m.kindsChanged:
	}
	if !supervise.Pause(ctx, settle) {
		return false
	}
	select { // what came meanwhile is seen now
	case <-m.kindsChanged:
	default:
	}
	return true
}

// learn watches the kinds that are new and forgets those that are gone.
func (m *monitor) learn(ctx context.Context) bool {
	found, partial, err := m.catalog.refresh(ctx, m.env.Discovery)
	if err != nil {
		if ctx.Err() == nil {
			m.env.Log.Warn("garbage collector cannot learn the kinds", "err", err)
		}
		m.partial = true
		return false
	}
	m.partial = partial
	for r := range m.watched {
		if _, ok := found[r.gvr]; !ok && !partial {
			m.env.Informers.Drop(r.gvr, kit.SourceOptions{Metadata: true})
			delete(m.watched, r)
		}
	}
	for _, r := range found {
		if m.watched[r] == nil {
			m.watched[r] = m.watch(r)
		}
	}
	return true
}

// await waits until the graph has what there is. A kind that cannot be listed must not keep all
// others from being collected, so there is an end to that.
func (m *monitor) await(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, syncWithin)
	defer cancel()
	for r, w := range m.watched {
		err := w.informer.WaitSynced(limited)
		for err == nil && !w.told() && supervise.Pause(limited, 2*time.Millisecond) {
		}
		if err != nil && ctx.Err() == nil {
			m.env.Log.Warn("garbage collector goes on without having seen all objects", "resource", r.gvr.Resource, "err", err)
		}
	}
}

func (m *monitor) watch(r resource) *watched {
	i := kit.Filtered[kit.Object](m.env.Informers, r.gvr, kit.SourceOptions{Metadata: true})
	see := func(o kit.Object) {
		m.add(m.graph.see(identity{r.gvr, r.kind, o.GetNamespace(), o.GetName(), o.GetUID()}, o))
	}
	tell := func() {
		if announcing[r.gvr.Group] {
			m.relearn()
		}
	}
	told := i.OnChange(kit.Handler[kit.Object]{
		Add: func(o kit.Object, initial bool) {
			see(o)
			if !initial {
				tell()
			}
		},
		Update: func(_, o kit.Object) { see(o); tell() },
		Delete: func(o kit.Object) { m.add(m.graph.lose(o.GetUID())); tell() },
	})
	return &watched{i, told}
}

// mergePatch changes fields of the metadata of exactly this revision.
func mergePatch(o *metav1.PartialObjectMetadata, fields map[string]any) ([]byte, error) {
	fields["uid"], fields["resourceVersion"] = o.UID, o.ResourceVersion
	return json.Marshal(map[string]any{"metadata": fields})
}

// reference is what events about an object refer to.
func reference(f facts) *corev1.ObjectReference {
	gv := schema.GroupVersion{Group: f.gvr.Group, Version: f.gvr.Version}
	return &corev1.ObjectReference{
		APIVersion: gv.String(), Kind: f.kind.Kind, Namespace: f.namespace, Name: f.name, UID: types.UID(f.uid),
	}
}

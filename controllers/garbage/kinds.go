package garbage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// resource is a kind whose objects can own and be owned.
type resource struct {
	gvr        schema.GroupVersionResource
	kind       schema.GroupKind
	namespaced bool
}

// ignored are never collected: there are many of them and they own nothing.
var ignored = map[schema.GroupResource]bool{
	{Group: "", Resource: "events"}:              true,
	{Group: "events.k8s.io", Resource: "events"}: true,
}

// catalog knows which kinds the API server has.
type catalog struct {
	mu     sync.RWMutex
	byKind map[schema.GroupVersionKind]resource // in every version
	listed []resource                           // each once, those that can be listed
}

// all are the kinds whose objects can be dependents.
func (c *catalog) all() []resource {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.listed
}

// of resolves an owner reference's kind.
func (c *catalog) of(apiVersion, kind string) (resource, bool) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return resource{}, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.byKind[gv.WithKind(kind)]
	return r, ok
}

// refresh asks what there is now: the resources to watch, in their preferred versions. partial says that
// some groups did not answer, so that nothing may be taken for gone.
func (c *catalog) refresh(ctx context.Context, d discovery.DiscoveryInterfaceWithContext) (watched map[schema.GroupVersionResource]resource, partial bool, err error) {
	_, lists, err := discovery.ServerGroupsAndResourcesWithContext(ctx, d)
	if err != nil {
		if len(lists) == 0 || !discovery.IsGroupDiscoveryFailedError(err) {
			return nil, false, fmt.Errorf("discovering kinds: %w", err)
		}
		partial = true
	}
	kinds := map[schema.GroupVersionKind]resource{}
	watched = map[schema.GroupVersionResource]resource{}
	chosen := map[schema.GroupResource]bool{} // groups come with the preferred version first
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			verbs := func(v string) bool { return slices.Contains(r.Verbs, v) }
			if slices.Contains([]byte(r.Name), '/') || !verbs("get") {
				continue
			}
			res := resource{gv.WithResource(r.Name), schema.GroupKind{Group: gv.Group, Kind: r.Kind}, r.Namespaced}
			kinds[gv.WithKind(r.Kind)] = res
			gr := res.gvr.GroupResource()
			if verbs("delete") && verbs("list") && verbs("watch") && !ignored[gr] && !chosen[gr] {
				chosen[gr] = true
				watched[res.gvr] = res
			}
		}
	}
	if len(watched) == 0 {
		return nil, false, fmt.Errorf("discovery names no kinds")
	}
	c.mu.Lock()
	c.byKind = kinds
	c.listed = slices.Collect(maps.Values(watched))
	c.mu.Unlock()
	return watched, partial, nil
}

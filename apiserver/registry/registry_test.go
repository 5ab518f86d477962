package registry_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

// faulty is a store that fails when it is told to.
type faulty struct {
	*storetest.Store
	fault error
	kept  map[string]bool // resources registered and not removed
}

func (f *faulty) Register(r store.Resource) error {
	if f.fault != nil {
		return f.fault
	}
	f.kept[r.Name+"."+r.Group] = true
	return f.Store.Register(r)
}

func (f *faulty) Remove(group, resource string) error {
	delete(f.kept, resource+"."+group)
	return f.Store.Remove(group, resource)
}

func (f *faulty) Replace(r store.Resource) error {
	if f.fault != nil {
		return f.fault
	}
	return f.Store.Replace(r)
}

var errFault = errors.New("etcd is away")

// twin says naively what is served.
type twin struct {
	kinds     []*kind.Kind
	elsewhere map[schema.GroupVersion]bool
}

func versionsOf(k *kind.Kind) []kind.Names {
	out := []kind.Names{k.Names}
	for _, v := range k.Versions {
		out = append(out, v.Names)
	}
	return out
}

func (w *twin) check(t *rapid.T, table *registry.Table, st *faulty) {
	if got := table.Kinds(); !slices.Equal(got, w.kinds) {
		t.Fatalf("%d kinds, want %d", len(got), len(w.kinds))
	}
	served, kept := map[schema.GroupVersionResource]*kind.Kind{}, map[string]bool{}
	for _, k := range w.kinds {
		for _, n := range versionsOf(k) {
			served[n.GVR()] = k
		}
		if !k.IsVirtual {
			kept[k.Plural+"."+k.Group] = true
		}
	}
	if !maps.Equal(kept, st.kept) {
		t.Fatalf("the store keeps %v, want %v", st.kept, kept)
	}
	seen := 0
	for _, g := range table.Groups() {
		for _, v := range g.Versions {
			if where, _ := table.Who(v.GroupVersion); where != registry.Here {
				t.Fatalf("%v is not here", v.GroupVersion)
			}
			for _, s := range v.Resources {
				seen++
				if s.Names.GVK().GroupVersion() != v.GroupVersion || g.Name != v.Group || table.Find(s.Names.GVR()) != s {
					t.Fatalf("%v stands at the wrong place", s.Names)
				}
			}
		}
	}
	if seen != len(served) {
		t.Fatalf("%d resources in groups, want %d", seen, len(served))
	}
	for gvr, k := range served {
		s := table.Find(gvr)
		if s == nil || s.Kind != k || s.Names.GVR() != gvr || s.View == nil || (s.Collection == nil) != k.IsVirtual {
			t.Fatalf("%v is served as %+v", gvr, s)
		}
		if coll, _ := st.Collection(k.Group, k.Plural); !k.IsVirtual && s.Collection != coll {
			t.Fatalf("%v has a collection that is gone", gvr)
		}
	}
	for gv, is := range w.elsewhere {
		if where, h := table.Who(gv); (where == registry.Elsewhere) != is || (h != nil) != is {
			t.Fatalf("%v is served by %v", gv, where)
		}
	}
}

// names of k clash with none of those that are held.
func (w *twin) free(k *kind.Kind) bool {
	for _, n := range versionsOf(k) {
		if w.elsewhere[n.GVK().GroupVersion()] {
			return false
		}
		for _, o := range w.kinds {
			for _, m := range versionsOf(o) {
				if n.GVR() == m.GVR() {
					return false
				}
			}
		}
	}
	return true
}

// TestAgainstTwin makes changes at random, with failing ones among them, and
// compares what is served with what a naive list says. What a change does not
// touch keeps its identity.
func TestAgainstTwin(t *testing.T) {
	var all []*kind.Kind // few, so that changes meet: with further versions, virtual, of a group of its own
	for _, k := range kinds.All() {
		switch k.Kind {
		case "Event", "Pod", "Deployment", "DaemonSet", "TokenReview", "Lease":
			all = append(all, k)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		st := &faulty{Store: storetest.New(), kept: map[string]bool{}}
		r := registry.New(registry.Options{Store: st, Scheme: scheme.New()})
		w := &twin{elsewhere: map[schema.GroupVersion]bool{}}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			before := r.Table()
			st.fault = nil
			if rapid.IntRange(0, 4).Draw(t, "fault") == 0 {
				st.fault = errFault
			}
			touched := w.step(t, r, st, all)
			after := r.Table()
			w.check(t, after, st)
			if changed := isClosed(before.Superseded()); changed != (before != after) {
				t.Fatalf("superseded: %v", changed)
			}
			for _, g := range before.Groups() {
				if at := slices.IndexFunc(after.Groups(), func(x *registry.Group) bool { return x.Name == g.Name }); !touched[g.Name] && (at < 0 || after.Groups()[at] != g) {
					t.Fatalf("group %q was made anew without need", g.Name)
				}
			}
		}
	})
}

// step makes one change in both and returns the groups that it may touch.
func (w *twin) step(t *rapid.T, r *registry.Registry, st *faulty, all []*kind.Kind) map[string]bool {
	k := rapid.SampledFrom(all).Draw(t, "kind")
	touched := map[string]bool{}
	for _, n := range versionsOf(k) {
		touched[n.Group] = true
	}
	at := slices.IndexFunc(w.kinds, func(o *kind.Kind) bool { return o.GVR() == k.GVR() })
	switch rapid.SampledFrom([]string{"add", "add", "add", "remove", "replace", "delegate"}).Draw(t, "change") {
	case "add":
		more := []*kind.Kind{k, rapid.SampledFrom(all).Draw(t, "second")}
		ok := w.free(k)
		next := &twin{kinds: append(slices.Clone(w.kinds), k), elsewhere: w.elsewhere}
		ok = ok && next.free(more[1]) && (st.fault == nil || k.IsVirtual && more[1].IsVirtual)
		if err := r.Add(more...); (err == nil) != ok {
			t.Fatalf("adding %v and %v: %v", k.GVR(), more[1].GVR(), err)
		}
		if ok {
			w.kinds = append(w.kinds, more...)
			for _, n := range versionsOf(more[1]) {
				touched[n.Group] = true
			}
		}
	case "remove":
		if err := r.Remove(k.GVR()); (err == nil) != (at >= 0) {
			t.Fatalf("removing %v: %v", k.GVR(), err)
		}
		if at >= 0 {
			w.kinds = slices.Delete(slices.Clone(w.kinds), at, at+1)
		}
	case "replace":
		other := *k
		ok := at >= 0
		if at >= 0 { // alike what is there, or kept otherwise
			other.Resource = w.kinds[at].Resource
			if rapid.Bool().Draw(t, "kept otherwise") {
				other.Resource.TTLSeconds += 7
				ok = st.fault == nil || k.IsVirtual
			}
		}
		if err := r.Replace(&other); (err == nil) != ok {
			t.Fatalf("replacing %v: %v", k.GVR(), err)
		}
		if ok {
			w.kinds = slices.Clone(w.kinds)
			w.kinds[at] = &other
		}
	case "delegate":
		gv := rapid.SampledFrom([]schema.GroupVersion{{Group: "metrics.k8s.io", Version: "v1beta1"}, {Group: "apps", Version: "v1"}}).Draw(t, "delegated")
		h, ok := http.Handler(http.NotFoundHandler()), true
		if rapid.Bool().Draw(t, "back") {
			h = nil
		}
		for _, o := range w.kinds {
			ok = ok && o.GVK().GroupVersion() != gv
		}
		if err := r.Delegate(gv, h); (err == nil) != ok {
			t.Fatalf("delegating %v: %v", gv, err)
		}
		if ok {
			w.elsewhere[gv] = h != nil
		}
	}
	return touched
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestHidden: what is hidden is kept and known, and not served.
func TestHidden(t *testing.T) {
	st := &faulty{Store: storetest.New(), kept: map[string]bool{}}
	events := schema.GroupVersionResource{Version: "v1", Resource: "events"}
	r, err := registry.Of(registry.Options{Store: st, Scheme: scheme.New(), Hidden: func(gvr schema.GroupVersionResource) bool { return gvr == events }}, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	table := r.Table()
	if table.Find(events) != nil {
		t.Error("the hidden version is served")
	}
	if s := table.Find(schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}); s == nil || s.Collection == nil {
		t.Error("the other version of the same objects is not served")
	}
	if !st.kept["events."] || len(table.Kinds()) != len(kinds.All()) {
		t.Error("the hidden kind is not kept")
	}
}

// TestDerived: what is derived is worked out once for a table, by many who ask at
// once, gets what was there before, and is tried again when it failed.
func TestDerived(t *testing.T) {
	st := &faulty{Store: storetest.New(), kept: map[string]bool{}}
	r := registry.New(registry.Options{Store: st, Scheme: scheme.New()})
	made, fail := 0, error(nil)
	d := registry.Derive(r, func(table *registry.Table, before string) (string, error) {
		made++
		return fmt.Sprintf("%s+%d", before, len(table.Kinds())), fail
	})
	ask := func() (got string) {
		var wg sync.WaitGroup
		all := make([]string, 8)
		for i := range all {
			wg.Go(func() { all[i], _ = d.Get() })
		}
		wg.Wait()
		if slices.Min(all) != slices.Max(all) {
			t.Errorf("different answers: %v", all)
		}
		return all[0]
	}
	if got := ask(); got != "+0" || made != 1 {
		t.Error(got, made)
	}
	some := kinds.All()[:2]
	if err := r.Add(some...); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "+0+2" || made != 2 {
		t.Error(got, made)
	}
	if err := r.Remove(some[0].GVR()); err != nil {
		t.Fatal(err)
	}
	fail = errFault
	if _, err := d.Get(); !errors.Is(err, errFault) {
		t.Error(err)
	}
	fail = nil
	if got := ask(); got != "+0+2+1" || made != 4 {
		t.Error(got, made)
	}
}

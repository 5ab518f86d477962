package garbage

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kit"
)

// identity says where an object is.
type identity struct {
	gvr       schema.GroupVersionResource
	kind      schema.GroupKind
	namespace string
	name      string
	uid       types.UID
}

// node is an object as the graph knows it.
type node struct {
	identity
	version    string // resourceVersion last seen
	owners     []metav1.OwnerReference
	deleting   bool
	foreground bool // deleting, and waits for its blocking dependents
	orphaning  bool // deleting, and sets its dependents free first
	since      int  // which object it was, counted from the beginning, that was seen to be orphaning
	// dependents by UID. A node that is not observed holds dependents of an owner not seen (yet).
	dependents map[types.UID]*node
	observed   bool
}

// graph is who owns whom, over all kinds, kept by the informers' handlers. Edges are made for
// owners that were not seen too, so that the order of events does not matter.
type graph struct {
	mu    sync.Mutex
	nodes map[types.UID]*node
	gone  *recent // owners that the API server did not have: their other dependents need no look there
	freed int     // how many objects were seen to be orphaning so far
}

// seenOrphaning is how many objects were seen to be orphaning so far.
func (g *graph) seenOrphaning() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.freed
}

func newGraph() *graph {
	return &graph{nodes: map[types.UID]*node{}, gone: newRecent(4096)}
}

// see takes in an object's newest state and returns the UIDs that want a look.
func (g *graph) see(id identity, o kit.Object) []types.UID {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[id.uid]
	fresh := n == nil || !n.observed
	if n == nil {
		n = &node{}
		g.nodes[id.uid] = n
	}
	n.identity, n.observed, n.version = id, true, o.GetResourceVersion()
	var todo []types.UID
	if refs := o.GetOwnerReferences(); fresh || !sameOwners(n.owners, refs) {
		todo = append(todo, g.relink(n, refs)...)
		if len(refs) > 0 && (!fresh || g.doubtful(n)) {
			todo = append(todo, id.uid)
		}
	}
	if fresh { // whoever named it before it was seen may have named it wrongly
		for _, d := range n.dependents {
			if !d.namesRightly(n) {
				todo = append(todo, d.uid)
			}
		}
	}
	deleting := o.GetDeletionTimestamp() != nil
	foreground := deleting && slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents)
	orphaning := deleting && slices.Contains(o.GetFinalizers(), metav1.FinalizerOrphanDependents)
	if foreground != n.foreground || orphaning != n.orphaning {
		todo = append(todo, id.uid)
	}
	if orphaning && !n.orphaning {
		g.freed++
		n.since = g.freed
	}
	n.deleting, n.foreground, n.orphaning = deleting, foreground, orphaning
	return todo
}

// keysOf are what objects are reconciled under.
func (g *graph) keysOf(uids []types.UID) []kit.Key {
	if len(uids) == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := make([]kit.Key, len(uids))
	for i, u := range uids {
		keys[i].Name = string(u)
		if n := g.nodes[u]; n != nil && n.observed {
			keys[i].Namespace = n.namespace
		}
	}
	return keys
}

// doubtful reports whether some owner has not been seen to exist, is on its way out, or is another than the one that
// is named.
func (g *graph) doubtful(n *node) bool {
	for i := range n.owners {
		if o := g.nodes[n.owners[i].UID]; o == nil || !o.observed || o.foreground || !o.namedBy(n, n.owners[i]) {
			return true
		}
	}
	return false
}

// namesRightly says whether all of d's references to an owner name it rightly.
func (d *node) namesRightly(owner *node) bool {
	for i := range d.owners {
		if d.owners[i].UID == owner.uid && !owner.namedBy(d, d.owners[i]) {
			return false
		}
	}
	return true
}

// relink moves n from its old owners to new ones; owners that wait for dependents are returned.
func (g *graph) relink(n *node, refs []metav1.OwnerReference) []types.UID {
	var todo []types.UID
	for i := range n.owners {
		o := g.nodes[n.owners[i].UID]
		if o == nil {
			continue
		}
		delete(o.dependents, n.uid)
		if o.foreground {
			todo = append(todo, o.uid)
		}
		g.prune(o)
	}
	n.owners = refs
	for i := range refs {
		o := g.nodes[refs[i].UID]
		if o == nil {
			o = &node{identity: identity{uid: refs[i].UID}}
			g.nodes[refs[i].UID] = o
		}
		if o.dependents == nil {
			o.dependents = map[types.UID]*node{}
		}
		o.dependents[n.uid] = n
		if o.foreground {
			todo = append(todo, o.uid)
		}
	}
	return todo
}

// prune forgets an owner that was never seen and that nobody names any more.
func (g *graph) prune(n *node) {
	if !n.observed && len(n.dependents) == 0 {
		delete(g.nodes, n.uid)
	}
}

// lose takes in that an object is gone and returns the UIDs that want a look: its dependents, and
// owners that waited for it.
func (g *graph) lose(uid types.UID) []types.UID {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[uid]
	if n == nil {
		return nil
	}
	todo := g.relink(n, nil)
	for d := range n.dependents {
		todo = append(todo, d)
	}
	n.observed, n.deleting, n.foreground, n.orphaning = false, false, false, false
	g.prune(n)
	return todo
}

// facts is a copy of what the graph knows about one object and its neighbours.
type facts struct {
	identity
	version                         string
	deleting, foreground, orphaning bool
	since                           int
	owners                          []ownerFact
	dependents                      []dependentFact // only of an object that is being deleted, or may be
}

type ownerState int

const (
	unknown ownerState = iota // not in the graph: the API server must be asked
	solid                     // exists, and keeps its dependents
	waiting                   // is being deleted and waits for its dependents to go first
	absent                    // does not exist
)

type ownerFact struct {
	ref       metav1.OwnerReference
	state     ownerState
	elsewhere string // namespace of an object with this UID, where that is another than the dependent's
}

type dependentFact struct {
	identity
	blocking   bool // its reference says that the owner waits for it
	foreground bool // is itself waiting for its dependents
}

// owners is how many owners an object names.
func (g *graph) owners(uid types.UID) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := g.nodes[uid]; n != nil {
		return len(n.owners)
	}
	return 0
}

// factsOf returns what is known of an object; false when it was not seen or is gone.
func (g *graph) factsOf(uid types.UID) (facts, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[uid]
	if n == nil || !n.observed {
		return facts{}, false
	}
	f := facts{identity: n.identity, version: n.version, deleting: n.deleting, foreground: n.foreground, orphaning: n.orphaning, since: n.since}
	for _, ref := range n.owners {
		o := ownerFact{ref: ref, state: g.stateOf(n, ref)}
		if x := g.nodes[ref.UID]; x != nil && x.observed && x.namespace != "" && x.namespace != n.namespace {
			o.elsewhere = x.namespace
		}
		f.owners = append(f.owners, o)
	}
	if n.foreground || n.orphaning || len(n.owners) > 0 && !n.deleting {
		for _, d := range n.dependents {
			f.dependents = append(f.dependents, dependentFact{d.identity, n.blockedBy(d), d.foreground})
		}
	}
	return f, true
}

func (g *graph) stateOf(n *node, ref metav1.OwnerReference) ownerState {
	o := g.nodes[ref.UID]
	if o == nil || !o.observed {
		if g.gone.has(placeOf(n.namespace, ref)) {
			return absent
		}
		return unknown
	}
	if !o.namedBy(n, ref) {
		return unknown
	}
	if o.foreground {
		return waiting
	}
	return solid
}

// namedBy says whether a reference names its owner rightly: the UID alone does not count,
// nor does an owner in another namespace.
func (n *node) namedBy(d *node, ref metav1.OwnerReference) bool {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && n.kind.Group == gv.Group && n.kind.Kind == ref.Kind && n.name == ref.Name &&
		(n.namespace == "" || n.namespace == d.namespace)
}

// blockedBy says whether n waits for d. Whoever knows no more than the UID of an object
// that he may not touch must not keep it from going.
func (n *node) blockedBy(d *node) bool {
	for i := range d.owners {
		if ref := d.owners[i]; ref.UID == n.uid && n.namedBy(d, ref) && ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion {
			return true
		}
	}
	return false
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	return slices.EqualFunc(a, b, func(x, y metav1.OwnerReference) bool {
		bx := x.BlockOwnerDeletion != nil && *x.BlockOwnerDeletion
		by := y.BlockOwnerDeletion != nil && *y.BlockOwnerDeletion
		return x.UID == y.UID && x.Name == y.Name && x.Kind == y.Kind && x.APIVersion == y.APIVersion && bx == by
	})
}

// place is where a reference says that its owner is. One who names it wrongly learns nothing
// about the one who is there.
type place struct {
	uid                               types.UID
	apiVersion, kind, namespace, name string
}

func placeOf(namespace string, ref metav1.OwnerReference) place {
	return place{ref.UID, ref.APIVersion, ref.Kind, namespace, ref.Name}
}

// missed takes in that the API server has no such owner.
func (g *graph) missed(p place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone.add(p)
}

// recent remembers the last so many places.
type recent struct {
	set  map[place]struct{}
	ring []place
	next int
}

func newRecent(n int) *recent {
	return &recent{set: make(map[place]struct{}, n), ring: make([]place, n)}
}

func (r *recent) add(u place) {
	if _, ok := r.set[u]; ok {
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = u
	r.set[u] = struct{}{}
	r.next = (r.next + 1) % len(r.ring)
}

func (r *recent) has(u place) bool {
	_, ok := r.set[u]
	return ok
}

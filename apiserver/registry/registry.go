// Package registry is the live table of what the API server serves: which kinds,
// in which group-versions, kept in which collections, and who serves a
// group-version when it is not this server.
//
//	kinds, later custom resources ──Add, Remove, Replace──▶ Registry ──▶ *Table (immutable)
//	                                                           │             ▲
//	                                     store.Register/Remove ┘             │ Table()
//	       verbs, discovery, OpenAPI, apply, metrics, informers ─────────────┘
//
// Contract:
//   - Whoever wants to know what is served asks for the Table, once per request,
//     and keeps nothing of it; what costs much to work out from it is a Derived.
//   - A change makes a new Table. What it does not touch (a Served, a Version, a
//     Group) is the same pointer as before, so that a Derived works out anew only
//     what changed.
//   - A kind is in the Table only once its collection is loaded. When a change
//     fails, the Table and the store are as before.
//   - A kind that is removed is out of the Table before its collection ends; its
//     objects stay in etcd.
package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/store"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Store keeps the objects; *store.Store is one.
type Store interface {
	store.Reader
	// Register makes a resource's collection findable once it is loaded, or fails and leaves nothing.
	Register(store.Resource) error
	// Remove ends a collection and everybody who waits in it.
	Remove(group, resource string) error
	// Replace ends the collection of the same group and name once the new one is
	// loaded; with an error it lives on.
	Replace(store.Resource) error
}

// Options of a Registry.
type Options struct {
	Store  Store
	Scheme *runtime.Scheme // knows the Go types of all kinds
	// Hidden resources are kept and not served. nil hides none.
	Hidden func(schema.GroupVersionResource) bool
}

// Registry holds the present Table and changes it. Its methods may be called at
// any time from anywhere; changes wait for each other.
type Registry struct {
	o  Options
	mu sync.Mutex // held while a change is made
	at atomic.Pointer[Table]
}

// New makes an empty one.
func New(o Options) *Registry {
	r := &Registry{o: o}
	r.at.Store(newTable(nil, nil, nil))
	return r
}

// Of is a registry that serves kinds.
func Of(o Options, kinds []*kind.Kind) (*Registry, error) {
	r := New(o)
	if err := r.Add(kinds...); err != nil {
		return nil, err
	}
	return r, nil
}

// Table is what is served now. Never nil.
func (r *Registry) Table() *Table { return r.at.Load() }

// Knows reports whether the resource and the subresource that a request names exist here.
func (r *Registry) Knows(i *request.Info) bool {
	s := r.Table().Find(i.GVR())
	return s != nil && s.Has(i.Subresource)
}

// ErrTaken: the name, or the place in etcd, belongs to another kind.
var ErrTaken = errors.New("is served already")

// Add serves kinds too, all of them or, with an error, none.
func (r *Registry) Add(kinds ...*kind.Kind) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.change()
	for _, k := range kinds {
		if err := c.add(k); err != nil {
			return errors.Join(err, c.undo())
		}
	}
	c.publish()
	return nil
}

// Remove serves the kind that is stored as gvr no more. Its watches end.
func (r *Registry) Remove(gvr schema.GroupVersionResource) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.change()
	k, err := c.drop(gvr)
	if err != nil {
		return err
	}
	c.publish()
	if k.IsVirtual {
		return nil
	}
	return r.o.Store.Remove(k.Group, k.Plural)
}

// Replace serves k in place of the kind of the same group and plural. When both
// are kept in the same way, the collection and its watches live on; otherwise
// they end, once what etcd has is loaded anew for k.
func (r *Registry) Replace(k *kind.Kind) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.change()
	if err := c.swap(k); err != nil {
		return err
	}
	c.publish()
	return nil
}

// Delegate says that another server serves gv: its requests go to h. A
// group-version with kinds of this server is refused; h nil takes it back.
func (r *Registry) Delegate(gv schema.GroupVersion, h http.Handler) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.change()
	if c.before.version(gv) != nil {
		return fmt.Errorf("%s %w here", gv, ErrTaken)
	}
	c.delegate(gv, h)
	c.publish()
	return nil
}

// change begins one from the present table.
func (r *Registry) change() *change {
	before := r.at.Load()
	return &change{r: r, before: before, kinds: slices.Clone(before.kinds), elsewhere: before.elsewhere}
}

package registry

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"hyperkube/apiserver/kind"
	"hyperkube/store"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// change is a change of the table while it is made. What can fail without the
// store is done first; what was registered can be taken back.
type change struct {
	r          *Registry
	before     *Table
	kinds      []held
	elsewhere  map[schema.GroupVersion]http.Handler
	registered []*kind.Kind
}

// publish makes the change what is served.
func (c *change) publish() {
	c.r.at.Store(newTable(c.before, c.kinds, c.elsewhere))
	close(c.before.superseded)
}

// undo takes what was registered out of the store.
func (c *change) undo() (err error) {
	for _, k := range slices.Backward(c.registered) {
		err = errors.Join(err, c.r.o.Store.Remove(k.Group, k.Plural))
	}
	return err
}

func (c *change) delegate(gv schema.GroupVersion, h http.Handler) {
	c.elsewhere = with(c.elsewhere, gv, h)
}

// add registers k and puts it at the end.
func (c *change) add(k *kind.Kind) error {
	h, err := c.hold(k)
	if err != nil {
		return err
	}
	if !k.IsVirtual {
		if err := c.r.o.Store.Register(k.Resource); err != nil {
			return err
		}
		c.registered = append(c.registered, k)
		if err := c.collect(h); err != nil {
			return err
		}
	}
	c.kinds = append(c.kinds, h)
	return nil
}

// hold makes what is held of k, but for the collection.
func (c *change) hold(k *kind.Kind) (held, error) {
	if err := c.free(k); err != nil {
		return held{}, err
	}
	if !c.r.o.Scheme.Recognizes(k.GVK()) {
		return held{}, fmt.Errorf("%s: its type is not in the scheme", k.GVK())
	}
	hidden := c.r.o.Hidden
	if hidden == nil {
		hidden = func(schema.GroupVersionResource) bool { return false }
	}
	served, err := serve(k, c.r.o.Scheme, hidden)
	if err != nil {
		return held{}, fmt.Errorf("%s: %w", k.GVR(), err)
	}
	return held{kind: k, served: served}, nil
}

// collect gives h, which nobody has yet, its collection.
func (c *change) collect(h held) error {
	coll, ok := c.r.o.Store.Collection(h.kind.Group, h.kind.Plural)
	if !ok {
		return fmt.Errorf("%s.%s is not found in the store", h.kind.Plural, h.kind.Group)
	}
	for _, s := range h.served {
		s.Collection = coll
	}
	return nil
}

// free reports an error when another kind has one of the names of k.
func (c *change) free(k *kind.Kind) error {
	for _, n := range names(k) {
		if c.elsewhere[n.GVK().GroupVersion()] != nil {
			return fmt.Errorf("%s %w by another server", n.GVK().GroupVersion(), ErrTaken)
		}
		for _, h := range c.kinds {
			for _, o := range names(h.kind) {
				if n.GVR() == o.GVR() || n.GVK() == o.GVK() {
					return fmt.Errorf("%s %w: as %s", n.GVR(), ErrTaken, o.GVK())
				}
			}
		}
	}
	return nil
}

// names are those of k in all its versions.
func names(k *kind.Kind) []kind.Names {
	out := []kind.Names{k.Names}
	for i := range k.Versions {
		out = append(out, k.Versions[i].Names)
	}
	return out
}

// drop takes out the kind that is stored as gvr.
func (c *change) drop(gvr schema.GroupVersionResource) (*kind.Kind, error) {
	at := slices.IndexFunc(c.kinds, func(h held) bool { return h.kind.GVR() == gvr })
	if at < 0 {
		return nil, fmt.Errorf("%s: %w", gvr, store.ErrNotFound)
	}
	k := c.kinds[at].kind
	c.kinds = slices.Delete(c.kinds, at, at+1)
	return k, nil
}

// swap puts k in the place of the kind with its group and plural.
func (c *change) swap(k *kind.Kind) error {
	at := slices.IndexFunc(c.kinds, func(h held) bool { return h.kind.Group == k.Group && h.kind.Plural == k.Plural })
	if at < 0 {
		return fmt.Errorf("%s: %w", k.GVR(), store.ErrNotFound)
	}
	old := c.kinds[at].kind
	if old.IsVirtual != k.IsVirtual {
		return fmt.Errorf("%s: what is stored and what is not cannot take each other's place", k.GVR())
	}
	c.kinds = slices.Delete(c.kinds, at, at+1)
	h, err := c.hold(k)
	if err != nil {
		return err
	}
	c.kinds = slices.Insert(c.kinds, at, h)
	if k.IsVirtual {
		return nil
	}
	if !alike(&old.Resource, &k.Resource) {
		if err := c.r.o.Store.Replace(k.Resource); err != nil {
			return err
		}
	}
	return c.collect(h)
}

// alike reports whether objects of a are kept, decoded and found as those of b.
// Functions are compared by address: the same descriptor's, or none.
func alike(a, b *store.Resource) bool {
	same := func(x, y any) bool { return reflect.ValueOf(x).Pointer() == reflect.ValueOf(y).Pointer() }
	return a.Group == b.Group && a.Name == b.Name && a.Prefix == b.Prefix && a.Namespaced == b.Namespaced && a.GVK == b.GVK &&
		a.TTLSeconds == b.TTLSeconds && a.Encrypted == b.Encrypted && same(a.New, b.New) && same(a.Default, b.Default) &&
		slices.EqualFunc(a.Indexes, b.Indexes, func(x, y store.Index) bool { return x.Name == y.Name && same(x.Value, y.Value) })
}

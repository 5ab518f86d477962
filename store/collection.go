package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"hyperkube/store/backend"
	"hyperkube/store/envelope"
	"hyperkube/store/seal"
)

// collection is one resource: its snapshot, its recent changes, its watchers.
type collection struct {
	store  *Store
	res    Resource
	prefix string // "/registry/pods/"
	codec  *envelope.Codec
	keys   atomic.Pointer[seal.Keyring] // nil: values are plain
	m      resourceMetrics

	snap     atomic.Pointer[snapshot]
	ended    chan struct{} // closed when the collection is removed or the store closed
	closing  sync.Once
	unsealed atomic.Int64 // values that opened

	mu       sync.Mutex // guards ring and watchers; held while a batch is published
	ring     ring
	early    early
	replaced int64 // bytes of all that was replaced or deleted so far
	watchers index
	trimmer  *time.Timer // set while the ring is larger than it need be

	// The rest belongs to the loop.
	tree    *btree.BTreeG[*Entry]
	indexes []indexTree
	brokens *brokens
	last    int64 // revision of the newest event
	touched bool  // in the loop's list of collections to publish
	loaded  int64 // changes up to here came with the load
	batch   []*change
	doneBy  []*pending // writers to wake, parallel to batch
	woken   []*watcher
}

var _ Collection = (*collection)(nil)

func (s *Store) newCollection(r Resource) (*collection, error) {
	if r.Name == "" || r.New == nil || r.GVK.Kind == "" {
		return nil, errors.New("name, kind and constructor are needed")
	}
	if r.Prefix == "" || strings.Trim(r.Prefix, "/") != r.Prefix {
		return nil, fmt.Errorf("bad prefix %q", r.Prefix)
	}
	c := &collection{
		store: s, res: r, prefix: s.prefix + r.Prefix + "/",
		codec: envelope.NewCodec(r.GVK), tree: newTree(), ended: make(chan struct{}),
	}
	s.mu.RLock()
	c.keys.Store(s.keys.For(r.Group, r.Name))
	s.mu.RUnlock()
	if r.Encrypted && c.keys.Load() == nil && !s.opts.AllowPlain {
		return nil, errors.New("its values must be encrypted and there is no key for them")
	}
	c.m = s.metrics.of(&c.res)
	c.watchers.init()
	c.reindex()
	c.snap.Store(c.snapshot(0))
	return c, nil
}

// Resource implements Collection.
func (c *collection) Resource() *Resource { return &c.res }

func (c *collection) path(k Key) string {
	if c.res.Namespaced {
		return c.prefix + k.Namespace + "/" + k.Name
	}
	return c.prefix + k.Name
}

// key reads the key out of an etcd key of this collection.
func (c *collection) key(path []byte) (Key, bool) {
	rest := path[len(c.prefix):]
	if !c.res.Namespaced {
		return Key{Name: string(rest)}, len(rest) > 0 && bytes.IndexByte(rest, '/') < 0
	}
	i := bytes.IndexByte(rest, '/')
	if i <= 0 || i == len(rest)-1 || bytes.IndexByte(rest[i+1:], '/') >= 0 {
		return Key{}, false
	}
	s := string(rest)
	return Key{Namespace: s[:i], Name: s[i+1:]}, true
}

// index finds a declared index by name.
func (c *collection) index(name string) (func(Object) string, error) {
	if name == "" {
		return nil, nil
	}
	for i := range c.res.Indexes {
		if c.res.Indexes[i].Name == name {
			return c.res.Indexes[i].Value, nil
		}
	}
	return nil, fmt.Errorf("store: %s has no index %q", c.res.Name, name)
}

// present is the entry of the newest snapshot, or nil.
func (c *collection) present(k Key) *Entry { return c.snap.Load().get(&c.store.pivots, k) }

// Get implements Collection.
func (c *collection) Get(ctx context.Context, k Key, f Freshness) (*Entry, error) {
	if err := c.fresh(ctx, f); err != nil {
		return nil, err
	}
	s := c.snap.Load()
	if f.Exact > 0 {
		if s = c.snapshotAt(f.Exact); s == nil {
			return c.pastOne(ctx, k, f.Exact)
		}
	}
	if e := s.get(&c.store.pivots, k); e != nil {
		return e, nil
	}
	return nil, s.missing(k)
}

// decode makes the entry of a stored value.
func (c *collection) decode(key Key, kv *backend.KV) (*Entry, error) {
	value := kv.Value
	if keys := c.keys.Load(); keys != nil {
		plain, err := keys.Open(value, kv.Key)
		if err != nil {
			return nil, err
		}
		if seal.Sealed(value) {
			c.unsealed.Add(1)
		}
		value = plain
	}
	obj := c.res.New()
	if err := c.codec.Decode(value, obj); err != nil {
		return nil, err
	}
	if c.res.Default != nil {
		c.res.Default(obj)
	}
	e := newEntry(key, obj, kv.Revision, c.store.hash(value), len(value))
	if c.store.opts.DetectMutation {
		if err := c.seen(e); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// encode makes the plain stored form of an object whose resourceVersion is empty.
func (c *collection) encode(obj Object) ([]byte, error) { return c.codec.Encode(nil, obj) }

// sealed is what goes to etcd for a plain value.
func (c *collection) sealed(path string, plain []byte) ([]byte, error) {
	keys := c.keys.Load()
	if keys == nil {
		return plain, nil
	}
	return keys.Seal(plain, []byte(path))
}

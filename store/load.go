package store

import (
	"context"
	"fmt"
	"time"

	"github.com/tidwall/btree"

	"hyperkube/store/backend"
)

// loadPage is how many objects one read of a load asks for.
const loadPage = 2000

// loadAll reads every collection, at one revision.
func (s *Store) loadAll(ctx context.Context) error {
	rev := int64(0)
	for _, c := range s.collections() {
		at, err := c.load(ctx, rev)
		if err != nil {
			return fmt.Errorf("%s: %w", c.res.Name, err)
		}
		rev = at
	}
	if rev == 0 {
		var err error
		if rev, err = s.backend.Revision(ctx); err != nil {
			return err
		}
	}
	s.advance(max(rev, s.applied.Load()))
	s.pendings.nudge()
	return nil
}

// load makes the state at rev (0: now) the collection's and returns its revision.
func (c *collection) load(ctx context.Context, rev int64) (int64, error) {
	tree, at, err := c.read(ctx, rev)
	if err != nil {
		return 0, err
	}
	c.replace(tree, at)
	return at, nil
}

// read builds the state at rev (0: now) from etcd, some objects at a time.
func (c *collection) read(ctx context.Context, rev int64) (*btree.BTreeG[*Entry], int64, error) {
	tree := newTree()
	r := backend.Range{Start: c.prefix, End: prefixEnd(c.prefix), Revision: rev, Limit: loadPage}
	for {
		began := time.Now()
		p, err := c.store.backend.Range(ctx, r)
		c.m.request(opList, began, err)
		if err != nil {
			return nil, 0, err
		}
		if r.Revision == 0 {
			r.Revision = p.Revision
		}
		for _, kv := range p.KVs {
			if c.store.locate(kv.Key) != c {
				continue // belongs to a longer prefix
			}
			if e := c.adopt(kv); e != nil {
				tree.Set(e)
			}
		}
		if !p.More {
			return tree, r.Revision, nil
		}
		r.Start = string(p.KVs[len(p.KVs)-1].Key) + "\x00"
	}
}

// adopt makes the entry of a value that was read, or nil if it cannot be.
func (c *collection) adopt(kv backend.KV) *Entry {
	key, ok := c.key(kv.Key)
	if !ok {
		return nil
	}
	obj, sum, err := c.decode(kv.Key, kv.Value)
	if err != nil {
		c.store.log.Error("stored object cannot be read and is left out", "key", string(kv.Key), "error", err)
		return nil
	}
	return newEntry(key, obj, kv.Revision, sum)
}

// replace installs a loaded state. Whoever watched before cannot be told what
// happened in between, and starts again.
func (c *collection) replace(tree *btree.BTreeG[*Entry], rev int64) {
	c.mu.Lock()
	c.tree, c.loaded = tree, rev
	c.reindex()
	c.ring.reset(rev)
	c.snap.Store(c.snapshot(rev))
	c.mu.Unlock()
	c.endWatchers(ErrExpired)
}

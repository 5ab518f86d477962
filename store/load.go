package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"hyperkube/store/backend"
)

// loadPage is how many objects one read of a load asks for.
const loadPage = 2000

// pageLimit bounds one read of a load.
const pageLimit = 30 * time.Second

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
	s, err := c.read(ctx, rev)
	if err != nil {
		return 0, err
	}
	if n := s.brokens.len(); n > 0 {
		example, _ := s.brokens.tree.Min()
		c.store.log.Error("stored objects cannot be read, they are left out of lists", "resource", c.res.Name, "count", n, "such as", example.path, "err", example.cause)
	}
	c.replace(s)
	return s.rev, nil
}

// read builds the state at rev (0: now) from etcd, some objects at a time.
func (c *collection) read(ctx context.Context, rev int64) (*snapshot, error) {
	s := &snapshot{tree: newTree()}
	r := backend.Range{Start: c.prefix, End: prefixEnd(c.prefix), Revision: rev, Limit: loadPage}
	for {
		p, err := c.page(ctx, r)
		if err != nil {
			return nil, err
		}
		if r.Revision == 0 {
			r.Revision = p.Revision
		}
		for i := range p.KVs {
			c.adopt(s, &p.KVs[i])
		}
		if !p.More {
			s.rev = r.Revision
			return s, nil
		}
		r.Start = string(p.KVs[len(p.KVs)-1].Key) + "\x00"
	}
}

func (c *collection) page(ctx context.Context, r backend.Range) (backend.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	began := time.Now()
	p, err := c.store.backend.Range(ctx, r)
	c.m.request(opList, began, err)
	return p, err
}

// owns is the key of a value, unless it belongs to a collection with a longer prefix, or
// to none.
func (c *collection) owns(path []byte) (Key, bool) {
	if o := c.store.locate(path); o != nil && o != c && len(o.prefix) > len(c.prefix) {
		return Key{}, false
	}
	return c.key(path)
}

// adopt puts a value that was read where it belongs in s.
func (c *collection) adopt(s *snapshot, kv *backend.KV) {
	key, ok := c.owns(kv.Key)
	if !ok {
		return
	}
	e, err := c.decode(key, kv)
	if err != nil {
		s.brokens = s.brokens.set(&broken{key: key, rev: kv.Revision, path: string(kv.Key), cause: err})
		return
	}
	s.tree.Set(e)
}

// replace installs a loaded state. Whoever watched before cannot be told what
// happened in between, and starts again.
func (c *collection) replace(s *snapshot) {
	c.mu.Lock()
	c.tree, c.brokens, c.loaded = s.tree, s.brokens, s.rev
	c.reindex()
	c.ring.reset(s.rev)
	c.snap.Store(c.snapshot(s.rev))
	c.mu.Unlock()
	c.store.kept.drop(c, math.MaxInt64) // they share nothing with what is here now
	c.endWatchers(ErrExpired)
}

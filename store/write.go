package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"hyperkube/store/backend"
)

// tries bounds how often one update or delete begins again because somebody
// else wrote the same key. Every lost try means that another writer won.
const tries = 1000

// Create implements Collection.
func (c *collection) Create(ctx context.Context, obj Object) (*Entry, error) {
	key, err := c.keyOf(obj)
	if err != nil {
		return nil, err
	}
	if err := c.fresh(ctx, Freshness{Any: true}); err != nil {
		return nil, err
	}
	if c.store.exclusive {
		if err := c.taken(key); err != nil {
			return nil, err
		}
	}
	e, rev, err := c.write(ctx, key, obj, 0)
	if err != nil || e != nil {
		return e, err
	}
	// The key exists in etcd. Whoever reads next must find it.
	if err := c.store.await(ctx, rev, latestLimit); err != nil {
		return nil, err
	}
	if err := c.taken(key); err != nil {
		return nil, err
	}
	return nil, ErrExists // it was, and is gone again
}

// taken is why nothing can be created at key, nil if nothing is there.
func (c *collection) taken(key Key) error {
	s := c.snap.Load()
	if s.get(&c.store.pivots, key) != nil {
		return ErrExists
	}
	if err := s.missing(key); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

func (c *collection) keyOf(obj Object) (Key, error) {
	k := Key{Name: obj.GetName()}
	if c.res.Namespaced {
		k.Namespace = obj.GetNamespace()
		if k.Namespace == "" {
			return k, errors.New("store: object has no namespace")
		}
	}
	if k.Name == "" {
		return k, errors.New("store: object has no name")
	}
	return k, nil
}

// write stores obj if the key is still at revision expect. The entry is nil
// when it is not; rev is then etcd's revision.
func (c *collection) write(ctx context.Context, key Key, obj Object, expect int64) (e *Entry, rev int64, err error) {
	obj.SetResourceVersion("")
	plain, err := c.encode(obj)
	if err != nil {
		return nil, 0, fmt.Errorf("store: %w", err)
	}
	return c.writeBytes(ctx, key, obj, plain, expect)
}

func (c *collection) writeBytes(ctx context.Context, key Key, obj Object, plain []byte, expect int64) (*Entry, int64, error) {
	path := c.path(key)
	if err := c.sealable(); err != nil {
		return nil, 0, err
	}
	value, err := c.sealed(path, plain)
	if err != nil {
		return nil, 0, fmt.Errorf("store: %w", err)
	}
	w := backend.Write{Key: path, Value: value, Expect: expect}
	if c.res.TTLSeconds > 0 {
		if w.Lease, err = c.store.leases.get(ctx, c.store.closed, c.store.backend, c.res.TTLSeconds); err != nil {
			return nil, 0, fmt.Errorf("store: lease: %w", err)
		}
	}
	p := &pending{key: path, value: value, obj: obj, sum: c.store.hash(plain), size: len(plain)}
	c.store.pendings.add(p)
	began := time.Now()
	rev, ok, err := c.store.backend.Write(ctx, w)
	c.m.request(op(expect), began, err)
	if err != nil || !ok {
		c.store.pendings.drop(p)
		if err != nil {
			err = fmt.Errorf("store: writing %s: %w", path, err)
		}
		return nil, rev, err
	}
	e, err := c.settle(ctx, p, rev)
	return e, rev, err
}

func op(expect int64) operation {
	if expect == 0 {
		return opCreate
	}
	return opUpdate
}

// settle waits until the snapshot has the write p of revision rev and returns
// its entry.
func (c *collection) settle(ctx context.Context, p *pending, rev int64) (*Entry, error) {
	for {
		if e := p.entry.Load(); e != nil {
			if e.Revision == rev {
				c.pace(ctx, p.witness)
				return e, nil
			}
			break // the same bytes were written at another revision too
		}
		if c.store.applied.Load() >= rev {
			break // events were skipped by a load
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			c.store.pendings.drop(p)
			return nil, ctx.Err()
		case <-c.ended:
			c.store.pendings.drop(p)
			return nil, c.over()
		case <-c.store.rewound:
			c.store.pendings.drop(p)
			return nil, ErrRewound
		}
	}
	return c.settleLate(ctx, p, rev)
}

// settleLate is settle for writes whose event brought another entry or none.
func (c *collection) settleLate(ctx context.Context, p *pending, rev int64) (*Entry, error) {
	mine := c.store.pendings.drop(p)
	if err := c.store.await(ctx, rev, latestLimit); err != nil {
		return nil, err
	}
	if p.prev != nil {
		return p.prev.at(rev), nil
	}
	key, err := c.keyOf(p.obj)
	if err != nil {
		return nil, err
	}
	if e := c.present(key); e != nil && e.Revision == rev {
		return e, nil
	}
	if mine {
		return newEntry(key, p.obj, rev, p.sum, p.size), nil
	}
	for { // the cache took the object and is about to say so
		if e := p.entry.Load(); e != nil {
			return e.at(rev), nil
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.ended:
			return nil, c.over()
		case <-c.store.rewound:
			return nil, ErrRewound
		}
	}
}

// Update implements Collection.
func (c *collection) Update(ctx context.Context, key Key, change func(*Entry) (Object, error)) (*Entry, error) {
	return c.attempt(ctx, key, func(present *Entry) (outcome, error) {
		obj, err := change(present)
		if err != nil {
			return outcome{}, err
		}
		if obj == present.Object {
			return outcome{entry: present}, nil
		}
		k, err := c.keyOf(obj)
		if err != nil {
			return outcome{}, err
		}
		if k != key {
			return outcome{}, fmt.Errorf("store: update of %s made it %s", key.path(), k.path())
		}
		obj.SetResourceVersion("")
		plain, err := c.encode(obj)
		if err != nil {
			return outcome{}, fmt.Errorf("store: %w", err)
		}
		if c.same(present, plain) {
			return outcome{entry: present}, nil
		}
		e, rev, err := c.writeBytes(ctx, key, obj, plain, present.Revision)
		return outcome{entry: e, rev: rev, final: e != nil || err != nil}, err
	})
}

// same says whether plain is what is stored of e.
func (c *collection) same(e *Entry, plain []byte) bool {
	if c.store.hash(plain) != e.sum {
		return false
	}
	have, err := c.encode(withRevision(e.Object, ""))
	return err == nil && bytes.Equal(have, plain)
}

// outcome is what one try of a write led to: the entry, or nil and etcd's
// revision when the guard was lost. final: etcd has seen the try.
type outcome struct {
	entry *Entry
	rev   int64
	final bool
}

// attempt runs try on the present entry until it succeeds or fails for good.
// The snapshot may be behind an etcd that others write to; so what try decides
// without etcd counts only once the snapshot is as new as etcd was after the
// call began.
func (c *collection) attempt(ctx context.Context, key Key, try func(*Entry) (outcome, error)) (*Entry, error) {
	if err := c.fresh(ctx, Freshness{Any: true}); err != nil {
		return nil, err
	}
	sure := c.store.exclusive
	for range tries {
		var out outcome
		var err error
		s := c.snap.Load()
		if present := s.get(&c.store.pivots, key); present != nil {
			out, err = try(present)
		} else {
			err = s.missing(key)
		}
		switch {
		case out.final:
			return out.entry, err
		case out.rev > 0: // lost the guard: go on with what the winner wrote
			if err := c.store.await(ctx, out.rev, latestLimit); err != nil {
				return nil, err
			}
			sure = true
		case sure:
			return out.entry, err
		default:
			if err := c.fresh(ctx, Freshness{}); err != nil {
				return nil, err
			}
			sure = true
		}
	}
	return nil, ErrConflict
}

// Delete implements Collection.
func (c *collection) Delete(ctx context.Context, key Key, allow func(*Entry) error) (*Entry, error) {
	path := c.path(key)
	return c.attempt(ctx, key, func(present *Entry) (outcome, error) {
		if allow != nil {
			if err := allow(present); err != nil {
				return outcome{}, err
			}
		}
		p := &pending{key: path, prev: present}
		c.store.pendings.add(p)
		began := time.Now()
		rev, ok, err := c.store.backend.Remove(ctx, path, present.Revision)
		c.m.request(opDelete, began, err)
		if err != nil {
			c.store.pendings.drop(p)
			return outcome{final: true}, fmt.Errorf("store: deleting %s: %w", path, err)
		}
		if !ok {
			c.store.pendings.drop(p)
			return outcome{rev: rev}, nil
		}
		e, err := c.settle(ctx, p, rev)
		return outcome{entry: e, final: true}, err
	})
}

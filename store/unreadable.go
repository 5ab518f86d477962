package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/btree"

	"hyperkube/store/seal"
)

// ErrUnreadable: an object is stored, but nothing can be made of it: its bytes
// are damaged, of another kind or version, or sealed with a key that is not there.
var ErrUnreadable = errors.New("stored object cannot be read")

// UnreadableError is an ErrUnreadable that names the object and the cause.
type UnreadableError struct {
	Path  string // of the value in etcd
	Cause error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrUnreadable, e.Path, e.Cause)
}

// Is makes the error an ErrUnreadable.
func (e *UnreadableError) Is(target error) bool { return target == ErrUnreadable }

// Unwrap is the cause.
func (e *UnreadableError) Unwrap() error { return e.Cause }

// Discarder removes what cannot be read. Collections of this store are.
type Discarder interface {
	// Discard removes the object at key from etcd if it cannot be read, without
	// asking anybody, and returns the revision of the deletion. It fails with
	// ErrNotFound when nothing is there and with ErrExists when it can be read.
	Discard(ctx context.Context, key Key) (int64, error)
}

var _ Discarder = (*collection)(nil)

// broken is a stored value that no object could be made of.
type broken struct {
	key   Key
	rev   int64
	path  string
	cause error
}

func (b *broken) err() error { return &UnreadableError{Path: b.path, Cause: b.cause} }

// brokens are those of a collection; belongs to a snapshot like its tree. Nil
// while there are none.
type brokens struct {
	tree   *btree.BTreeG[*broken]
	sealed int // values that did not open
	lost   int // of these, the ones whose key nobody has
}

func lessBroken(a, b *broken) bool { return a.key.compare(b.key) < 0 }

func (l *brokens) len() int {
	if l == nil {
		return 0
	}
	return l.tree.Len()
}

func (l *brokens) get(k Key) *broken {
	if l == nil {
		return nil
	}
	b, _ := l.tree.Get(&broken{key: k})
	return b
}

// set returns the list with b in it. Lists that snapshots hold do not change.
func (l *brokens) set(b *broken) *brokens {
	next := &brokens{}
	if l == nil {
		next.tree = btree.NewBTreeGOptions(lessBroken, btree.Options{NoLocks: true})
	} else {
		*next = brokens{tree: l.tree.Copy(), sealed: l.sealed, lost: l.lost}
	}
	if old, ok := next.tree.Set(b); ok {
		next.count(old, -1)
	}
	next.count(b, 1)
	return next
}

// without returns the list with nothing at k.
func (l *brokens) without(k Key) *brokens {
	b := l.get(k)
	switch {
	case b == nil:
		return l
	case l.tree.Len() == 1:
		return nil
	}
	next := &brokens{tree: l.tree.Copy(), sealed: l.sealed, lost: l.lost}
	next.tree.Delete(b)
	next.count(b, -1)
	return next
}

func (l *brokens) count(b *broken, n int) {
	if errors.Is(b.cause, seal.ErrSealed) {
		l.sealed += n
	}
	if errors.Is(b.cause, seal.ErrNoKey) {
		l.lost += n
	}
}

// missing is why there is no entry for k in s.
func (s *snapshot) missing(k Key) error {
	if b := s.brokens.get(k); b != nil && b.rev <= s.rev {
		return b.err()
	}
	return ErrNotFound
}

// breaks notes in the working state that the value at key cannot be read.
func (c *collection) breaks(b *broken) {
	if c.brokens.get(b.key) == nil {
		c.store.log.Error("stored object cannot be read, it is left out of lists", "key", b.path, "err", b.cause)
	}
	c.brokens = c.brokens.set(b)
}

// sealable refuses to write sealed values beside ones whose key is lost: they
// would be sealed with a key that the backup of the lost one does not have, and
// whatever made them anew would take the place of what may still be saved. A
// value that is merely damaged does not count, as long as others open.
func (c *collection) sealable() error {
	l := c.snap.Load().brokens
	if l == nil || l.lost == 0 && (l.sealed == 0 || c.unsealed.Load() > 0) {
		return nil
	}
	var example *broken
	l.tree.Scan(func(b *broken) bool {
		if errors.Is(b.cause, seal.ErrSealed) {
			example = b
		}
		return example == nil
	})
	return fmt.Errorf("store: %d %s cannot be unsealed, so no others are stored beside them: put back the encryption configuration they were sealed with, or delete them as unreadable: %w",
		l.sealed, c.res.Name, example.err())
}

// Discard implements Discarder.
func (c *collection) Discard(ctx context.Context, key Key) (int64, error) {
	for range tries {
		if err := c.fresh(ctx, Freshness{}); err != nil {
			return 0, err
		}
		s := c.snap.Load()
		if s.get(&c.store.pivots, key) != nil {
			return 0, ErrExists
		}
		b := s.brokens.get(key)
		if b == nil {
			return 0, ErrNotFound
		}
		began := time.Now()
		rev, ok, err := c.store.backend.Remove(ctx, b.path, b.rev)
		c.m.request(opDelete, began, err)
		if err != nil {
			return 0, fmt.Errorf("store: deleting %s: %w", b.path, err)
		}
		if err := c.store.await(ctx, rev, latestLimit); err != nil {
			return 0, err
		}
		if ok {
			c.store.log.Warn("an object that could not be read was removed", "key", b.path, "err", b.cause)
			return rev, nil
		}
	}
	return 0, ErrConflict
}

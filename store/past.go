package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hyperkube/internal/bounds"
	"hyperkube/store/backend"
)

const (
	// pastWait is how long a read of the past waits for others, and pastHold how long
	// what it read counts at most.
	pastWait = 5 * time.Second
	pastHold = 90 * time.Second
	// pastPiece is how many bytes one request to etcd should bring, pastFirst how many
	// objects are asked for before their size is known and pastMost at most.
	pastPiece = 1 << 20
	pastFirst = 16
	pastMost  = 512
)

// past answers from etcd's history, for revisions that the snapshots no longer have. What
// is read shares nothing with them and is decoded for this one answer: so only what is
// asked for is read, no more than bounds.PastBytes of it, nothing is kept for the next
// page, and few read at the same time. A page may be shorter than its limit; what has no
// limit and does not fit is gone, as if etcd had forgotten it.
func (c *collection) past(ctx context.Context, rev int64, q query) (*List, error) {
	if err := c.store.past.enter(ctx); err != nil {
		return nil, err
	}
	start, end := c.span(&q)
	var (
		found   []*Entry
		scanned int
		last    Key
		brokens *brokens
		number  = int64(pastFirst)
	)
	answer := func(next Key) *List {
		l := &List{Revision: rev, Entries: slices.Values(found), Unreadable: brokens.len()}
		if next.Name != "" {
			l.Continue = token{Revision: rev, Start: next.path() + "\x00"}.String()
		}
		return l
	}
	for r := (backend.Range{Start: start, End: end, Revision: rev}); ; {
		r.Limit = number
		p, err := c.page(ctx, r)
		if errors.Is(err, backend.ErrCompacted) {
			return nil, fmt.Errorf("%w: %d", ErrExpired, rev)
		}
		if err != nil {
			return nil, fmt.Errorf("store: reading %s at %d: %w", c.res.Name, rev, err)
		}
		before := scanned
		for i := range p.KVs {
			kv := &p.KVs[i]
			key, ok := c.owns(kv.Key)
			if !ok {
				continue
			}
			if scanned > bounds.PastBytes {
				if q.limit <= 0 {
					return nil, fmt.Errorf("%w: %d, and so much that it can be read in pages only", ErrExpired, rev)
				}
				return answer(last), nil
			}
			scanned += len(kv.Value)
			e, err := c.decode(key, kv)
			if err != nil {
				brokens = brokens.set(&broken{key: key, rev: kv.Revision, path: string(kv.Key), cause: err})
				last = key
				continue
			}
			if !q.filter.takes(e, q.value) {
				last = key
				continue
			}
			if q.limit > 0 && int64(len(found)) == q.limit {
				return answer(found[len(found)-1].Key), nil
			}
			found, last = append(found, e), key
		}
		if !p.More {
			return answer(Key{}), nil
		}
		r.Start = string(p.KVs[len(p.KVs)-1].Key) + "\x00"
		number = min(pastMost, max(pastFirst/2, pastPiece/int64((scanned-before)/len(p.KVs)+1)))
	}
}

// span is the range of keys in which a query's objects are.
func (c *collection) span(q *query) (start, end string) {
	f := &q.filter
	switch {
	case f.Name != "" && (f.Namespace != "" || !c.res.Namespaced) && !q.after:
		start = c.prefix + Key{f.Namespace, f.Name}.path()
		return start, start + "\x00"
	case f.Namespace != "" && c.res.Namespaced:
		start = c.prefix + f.Namespace + "/"
	default:
		start = c.prefix
	}
	end = prefixEnd(start)
	if q.after {
		start = c.prefix + q.from.path() + "\x00"
	}
	return start, end
}

// historians are those who read the past at the same time.
type historians chan struct{}

// enter waits for a place, which is held until ctx ends: by then the answer is gone.
func (h historians) enter(ctx context.Context) error {
	late := time.NewTimer(pastWait)
	defer late.Stop()
	select {
	case h <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("%w, and too many read what is old", ErrExpired)
	}
	hold, cancel := context.WithTimeout(ctx, pastHold)
	context.AfterFunc(hold, func() {
		<-h
		cancel()
	})
	return nil
}

// pastOne is one object as it was.
func (c *collection) pastOne(ctx context.Context, k Key, rev int64) (*Entry, error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	if err := c.store.past.enter(ctx); err != nil {
		return nil, err
	}
	path := c.prefix + k.path()
	p, err := c.page(ctx, backend.Range{Start: path, End: path + "\x00", Revision: rev, Limit: 1})
	switch {
	case errors.Is(err, backend.ErrCompacted):
		return nil, fmt.Errorf("%w: %d", ErrExpired, rev)
	case err != nil:
		return nil, fmt.Errorf("store: reading %s %s at %d: %w", c.res.Name, k.path(), rev, err)
	case len(p.KVs) == 0:
		return nil, ErrNotFound
	}
	e, err := c.decode(k, &p.KVs[0])
	if err != nil {
		return nil, &UnreadableError{Path: path, Cause: err}
	}
	return e, nil
}

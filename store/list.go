package store

import (
	"context"
	"iter"
	"slices"
)

// List implements Collection.
func (c *collection) List(ctx context.Context, o ListOptions) (*List, error) {
	value, err := c.index(o.IndexName)
	if err != nil {
		return nil, err
	}
	q := query{filter: o.Filter, value: value, limit: o.Limit, from: Key{Namespace: o.Namespace}}
	exact := o.Exact
	if o.Continue != "" {
		t, err := parseToken(o.Continue)
		if err != nil {
			return nil, err
		}
		if q.from, err = t.start(c.res.Namespaced, o.Namespace); err != nil {
			return nil, err
		}
		q.after, exact = true, t.Revision
		o.Freshness = Freshness{Exact: exact}
		if exact == restartRevision {
			exact, o.Freshness = 0, Freshness{}
		}
	}
	if err := c.fresh(ctx, o.Freshness); err != nil {
		return nil, err
	}
	if exact > 0 {
		if s := c.snapshotAt(exact); s != nil {
			return c.answer(s, exact, q), nil
		}
		l, err := c.past(ctx, exact, q)
		return l, expired(err, q.from)
	}
	rev := c.store.applied.Load() // before the snapshot, which then has everything up to rev
	s := c.snap.Load()
	return c.answer(s, max(rev, s.rev), q), nil
}

// query is what a list asks of one snapshot.
type query struct {
	filter Filter
	value  func(Object) string
	limit  int64
	from   Key
	after  bool // from itself was on the page before
}

func (c *collection) answer(s *snapshot, rev int64, q query) *List {
	if q.limit <= 0 && q.filter.Match == nil {
		return &List{Revision: rev, Entries: q.all(s), Unreadable: s.brokens.len()}
	}
	if q.limit <= 0 { // asking every object costs more than keeping the answer
		var found []*Entry
		q.each(s, func(e *Entry) bool {
			found = append(found, e)
			return true
		})
		return &List{Revision: rev, Entries: slices.Values(found), Unreadable: s.brokens.len()}
	}
	page := make([]*Entry, 0, min(q.limit, int64(s.tree.Len())))
	more, rest := false, int64(0)
	whole := q.filter.whole()
	q.each(s, func(e *Entry) bool {
		if int64(len(page)) < q.limit {
			page = append(page, e)
			return true
		}
		more = true
		rest++
		return whole // only then the rest is counted
	})
	l := &List{Revision: rev, Entries: slices.Values(page), Unreadable: s.brokens.len()}
	if !more {
		return l
	}
	if whole {
		l.Remaining = &rest
	}
	l.Continue = token{Revision: rev, Start: page[len(page)-1].Key.path() + "\x00"}.String()
	c.store.kept.put(c, rev, s)
	return l
}

// each visits the entries of s that the query takes.
func (q *query) each(s *snapshot, visit func(*Entry) bool) {
	if q.filter.Name != "" && (q.filter.Namespace != "" || !q.namespaced(s)) && !q.after {
		if e, ok := s.tree.Get(&Entry{Key: Key{q.filter.Namespace, q.filter.Name}}); ok && q.filter.takes(e, q.value) {
			visit(e)
		}
		return
	}
	step := func(e *Entry) bool {
		if q.after && e.Key == q.from || !q.filter.takes(e, q.value) {
			return true
		}
		return visit(e)
	}
	if t := s.index(q.filter.IndexName); t != nil {
		ascendIndex(t, &q.filter, q.from, step)
		return
	}
	s.ascend(q.from, q.filter.Namespace, step)
}

// namespaced looks at the first entry: all are of one scope.
func (q *query) namespaced(s *snapshot) bool {
	e, ok := s.tree.Min()
	return ok && e.Key.Namespace != ""
}

func (q *query) all(s *snapshot) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) { q.each(s, yield) }
}

// snapshotAt is the collection's state at a revision not newer than the
// snapshots: the present one if nothing changed since, one that was kept for
// paging, or one wound back with the ring; nil when only etcd has it.
func (c *collection) snapshotAt(rev int64) *snapshot {
	if s := c.snap.Load(); s.rev <= rev {
		return s
	}
	if s := c.store.kept.get(c, rev); s != nil {
		return s
	}
	return c.rewound(rev)
}

// rewound undoes what the ring says happened after rev, newest first, on a
// copy; nil if the ring does not reach back so far.
func (c *collection) rewound(rev int64) *snapshot {
	c.mu.Lock()
	changes, ok := c.ring.since(rev)
	if !ok {
		c.mu.Unlock()
		return nil
	}
	now := c.snap.Load()
	tree := now.tree.Copy()
	c.mu.Unlock()
	before := now.before
	for i := len(changes) - 1; i >= 0; i-- {
		before -= int64(changes[i].weight())
		if prev := changes[i].prev; prev != nil {
			tree.Set(prev)
		} else {
			tree.Delete(changes[i].entry)
		}
	}
	return &snapshot{rev: rev, before: before, tree: tree, brokens: now.brokens}
}

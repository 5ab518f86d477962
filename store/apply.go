package store

import (
	"strconv"
	"time"

	"hyperkube/internal/bounds"
	"hyperkube/store/backend"
)

// take applies one event to the working tree.
func (c *collection) take(ev *backend.Event) {
	c.m.received.Inc()
	c.last = ev.Revision
	key, ok := c.key(ev.Key)
	if !ok {
		return
	}
	var ch *change
	var writer *pending
	if ev.Deleted {
		writer = c.store.pendings.take(ev.Key, nil)
		c.brokens = c.brokens.without(key)
		if ch = c.remove(key, ev.Revision); ch != nil && writer != nil {
			ch.gone()
		}
	} else {
		writer = c.store.pendings.take(ev.Key, ev.Value)
		ch = c.put(key, ev, writer)
	}
	if ch == nil {
		if writer != nil {
			c.batch, c.doneBy = append(c.batch, nil), append(c.doneBy, writer)
		}
		return
	}
	c.batch, c.doneBy = append(c.batch, ch), append(c.doneBy, writer)
}

func (c *collection) put(key Key, ev *backend.Event, writer *pending) *change {
	var e *Entry
	if writer != nil {
		e = newEntry(key, writer.obj, ev.Revision, writer.sum, writer.size)
	} else {
		var err error
		if e, err = c.decode(key, &ev.KV); err != nil {
			c.breaks(&broken{key: key, rev: ev.Revision, path: string(ev.Key), cause: err})
			return c.remove(key, ev.Revision)
		}
	}
	c.brokens = c.brokens.without(key)
	prev, _ := c.tree.Set(e)
	c.moved(prev, e)
	if prev != nil && c.store.opts.DetectMutation {
		c.verify(prev)
	}
	return &change{rev: ev.Revision, entry: e, prev: prev}
}

// newEntry adopts obj and gives it its resourceVersion.
func newEntry(key Key, obj Object, rev int64, sum uint64, size int) *Entry {
	if n := obj.GetName(); n == key.Name && obj.GetNamespace() == key.Namespace {
		key = Key{obj.GetNamespace(), n} // share the object's strings
	}
	obj.SetResourceVersion(strconv.FormatInt(rev, 10))
	intern(obj)
	return &Entry{Key: key, Revision: rev, Object: obj, sum: sum, size: size}
}

func (c *collection) remove(key Key, rev int64) *change {
	pivot := c.store.pivots.get(key)
	prev, ok := c.tree.Delete(pivot)
	c.store.pivots.put(pivot)
	if !ok {
		return nil
	}
	c.moved(prev, nil)
	if c.store.opts.DetectMutation {
		c.verify(prev)
	}
	return &change{rev: rev, prev: prev}
}

// publish makes the batch visible: snapshot, ring and queues at once for
// whoever holds the lock, the snapshot at once for everybody else.
func (c *collection) publish() {
	now := c.store.sinceBegan()
	c.mu.Lock()
	for i, ch := range c.batch {
		if ch == nil {
			continue
		}
		c.ring.push(ch, now)
		c.replaced += int64(ch.weight())
		witness := c.dispatch(ch, now)
		if p := c.doneBy[i]; p != nil {
			p.witness = witness
		}
	}
	c.snap.Store(c.snapshot(c.last))
	if c.trimmer == nil && c.ring.n > ringMin {
		c.trimmer = time.AfterFunc(ringSpan, c.trim)
	}
	c.early.cut(c)
	replaced := c.replaced
	c.mu.Unlock()
	c.store.kept.drop(c, replaced-bounds.HistoryBytes)
}

// trim gives back what a burst of changes left in the ring, once it is old.
func (c *collection) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trimmer == nil {
		return // closed
	}
	if c.ring.trim(c.store.sinceBegan()) {
		c.trimmer.Reset(ringSpan / 2)
	} else {
		c.trimmer = nil
	}
}

// finish wakes the writers and watchers of the batch.
func (c *collection) finish() {
	for i, p := range c.doneBy {
		switch ch := c.batch[i]; {
		case p == nil:
		case ch == nil:
			p.signal()
		case ch.entry != nil:
			p.resolve(ch.entry)
		default:
			p.resolve(ch.gone())
		}
	}
	c.store.turns.wake(c.woken)
	clear(c.batch)
	clear(c.doneBy)
	clear(c.woken)
	c.batch, c.doneBy, c.woken = c.batch[:0], c.doneBy[:0], c.woken[:0]
}

package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tidwall/btree"

	"hyperkube/store/backend"
)

const (
	pauseMin = 10 * time.Millisecond
	pauseMax = 5 * time.Second
)

// run is the one loop that changes snapshots. first gets the outcome of the
// first load.
func (s *Store) run(ctx context.Context, first chan<- error) {
	err := s.loadAll(ctx)
	var w backend.Watch
	if err == nil {
		w, err = s.follow(ctx)
	}
	first <- err
	if err != nil {
		return
	}
	pause := pauseMin
	for {
		if err == nil {
			before := s.applied.Load()
			err = s.consume(ctx, w)
			s.watching.Store(nil)
			w.Stop()
			if s.applied.Load() > before {
				pause = pauseMin
			}
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("watch of etcd ended, starting again", "error", err, "revision", s.applied.Load())
		if wait(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, pauseMax)
		w, err = s.resume(ctx, err)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) follow(ctx context.Context) (backend.Watch, error) {
	w, err := s.backend.Watch(ctx, s.prefix, prefixEnd(s.prefix), s.applied.Load()+1)
	if err == nil {
		s.watching.Store(&w)
	}
	return w, err
}

// resume continues after the last change seen, or loads anew if etcd has
// forgotten what came after it.
func (s *Store) resume(ctx context.Context, cause error) (backend.Watch, error) {
	if errors.Is(cause, backend.ErrCompacted) {
		if err := s.loadAll(ctx); err != nil {
			return nil, err
		}
	}
	return s.follow(ctx)
}

// prefixEnd is the first key after all that begin with p.
func prefixEnd(p string) string {
	b := []byte(p)
	b[len(b)-1]++
	return string(b)
}

// consume applies what the watch brings, and serves the requests of Register,
// which interrupt it.
func (s *Store) consume(ctx context.Context, w backend.Watch) error {
	for {
		next, interrupt := context.WithCancel(ctx)
		s.interrupt.Store(&interrupt)
		s.serve(ctx)
		err := s.applyAll(next, w)
		interrupted := next.Err() != nil
		interrupt()
		if !interrupted || ctx.Err() != nil {
			return err
		}
	}
}

// applyAll ends with the watch or with ctx.
func (s *Store) applyAll(ctx context.Context, w backend.Watch) error {
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return err
		}
		s.apply(batch)
	}
}

// serve does what Register asks for.
func (s *Store) serve(ctx context.Context) {
	for {
		select {
		case request := <-s.requests:
			request(ctx)
		default:
			return
		}
	}
}

// apply brings a batch into the snapshots, the rings and the watchers' queues.
func (s *Store) apply(b backend.Events) {
	touched := s.touched[:0]
	for i := range b.Events {
		ev := &b.Events[i]
		c := s.locate(ev.Key)
		if c == nil || ev.Revision <= c.loaded {
			continue
		}
		if len(c.batch) == 0 {
			touched = append(touched, c)
		}
		c.take(ev)
	}
	for _, c := range touched {
		c.publish()
	}
	s.touched = touched
	s.advance(b.Revision)
	for _, c := range touched {
		c.finish()
	}
}

// locate finds the collection with the longest prefix of an etcd key.
func (s *Store) locate(key []byte) *collection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(key) <= len(s.prefix) {
		return nil
	}
	rest := key[len(s.prefix):]
	var found *collection
	for i, depth := 0, 0; i < len(rest) && depth < s.depth; i++ {
		if rest[i] != '/' {
			continue
		}
		depth++
		if c := s.byPrefix[string(rest[:i])]; c != nil {
			found = c
		}
	}
	return found
}

// take applies one event to the working tree.
func (c *collection) take(ev *backend.Event) {
	c.m.received.Inc()
	key, ok := c.key(ev.Key)
	if !ok {
		return
	}
	var ch *change
	var writer *pending
	if ev.Deleted {
		writer = c.store.pendings.take(ev.Key, nil)
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
	var obj Object
	var sum uint64
	if writer != nil {
		obj, sum = writer.obj, writer.sum
	} else {
		var err error
		if obj, sum, err = c.decode(ev.Key, ev.Value); err != nil {
			c.store.log.Error("stored object cannot be read and is left out", "key", string(ev.Key), "error", err)
			return c.remove(key, ev.Revision)
		}
	}
	e := newEntry(key, obj, ev.Revision, sum)
	prev, _ := c.tree.Set(e)
	if prev != nil && c.store.opts.DetectMutation {
		c.verify(prev)
	}
	return &change{rev: ev.Revision, entry: e, prev: prev}
}

// newEntry adopts obj and gives it its resourceVersion.
func newEntry(key Key, obj Object, rev int64, sum uint64) *Entry {
	if n := obj.GetName(); n == key.Name && obj.GetNamespace() == key.Namespace {
		key = Key{obj.GetNamespace(), n} // share the object's strings
	}
	obj.SetResourceVersion(strconv.FormatInt(rev, 10))
	return &Entry{Key: key, Revision: rev, Object: obj, sum: sum}
}

func (c *collection) remove(key Key, rev int64) *change {
	pivot := c.store.pivots.get(key)
	prev, ok := c.tree.Delete(pivot)
	c.store.pivots.put(pivot)
	if !ok {
		return nil
	}
	if c.store.opts.DetectMutation {
		c.verify(prev)
	}
	return &change{rev: rev, prev: prev}
}

// publish makes the batch visible: snapshot, ring and queues at once for
// whoever holds the lock, the snapshot at once for everybody else.
func (c *collection) publish() {
	now := int64(time.Since(c.store.began))
	c.mu.Lock()
	rev := c.snap.Load().rev
	for _, ch := range c.batch {
		if ch != nil {
			c.ring.push(ch, now)
			c.dispatch(ch)
			rev = ch.rev
		}
	}
	c.snap.Store(&snapshot{rev: rev, tree: c.tree.Copy()})
	if c.trimmer == nil && c.ring.n > ringMin {
		c.trimmer = time.AfterFunc(ringSpan, c.trim)
	}
	c.mu.Unlock()
}

// trim gives back what a burst of changes left in the ring, once it is old.
func (c *collection) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trimmer == nil {
		return // closed
	}
	if c.ring.trim(int64(time.Since(c.store.began))) {
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
	for _, w := range c.woken {
		w.signal()
	}
	clear(c.batch)
	clear(c.doneBy)
	clear(c.woken)
	c.batch, c.doneBy, c.woken = c.batch[:0], c.doneBy[:0], c.woken[:0]
}

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
	c.ring.reset(rev)
	c.snap.Store(&snapshot{rev: rev, tree: tree.Copy()})
	c.mu.Unlock()
	c.endWatchers(ErrExpired)
}

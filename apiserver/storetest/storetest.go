// Package storetest is a store in memory for tests of those who read and write
// collections (authorizers, admission, tokens): the contract of package store
// without etcd, history or encodings. It keeps every write in one list, from
// which watches are served, so it is not for production and grows for ever.
package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store"
)

// Store holds collections by group and resource.
type Store struct {
	mu    sync.Mutex
	cols  map[string]*Collection
	rev   int64
	moved chan struct{} // closed and replaced with every write
	slow  atomic.Bool   // all watches were too slow
}

var _ store.Reader = (*Store)(nil)

// New makes a store with the given resources, named "pods" or "roles.rbac.authorization.k8s.io".
func New(resources ...string) *Store {
	s := &Store{cols: map[string]*Collection{}, moved: make(chan struct{}), rev: 1}
	for _, r := range resources {
		name, group, _ := strings.Cut(r, ".")
		s.cols[group+"/"+name] = &Collection{s: s, res: store.Resource{Group: group, Name: name}, now: map[store.Key]*store.Entry{}}
	}
	return s
}

// Register adds a resource, or says more of one that New was given.
func (s *Store) Register(res store.Resource) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := res.Group + "/" + res.Name
	if c := s.cols[at]; c != nil {
		return nil
	}
	s.cols[at] = &Collection{s: s, res: res, now: map[store.Key]*store.Entry{}}
	return nil
}

// Remove takes a resource out, with its objects.
func (s *Store) Remove(group, resource string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cols[group+"/"+resource] == nil {
		return store.ErrNotFound
	}
	delete(s.cols, group+"/"+resource)
	return nil
}

// Replace empties the resource.
func (s *Store) Replace(res store.Resource) error {
	if err := s.Remove(res.Group, res.Name); err != nil {
		return err
	}
	return s.Register(res)
}

// Collection finds one of the resources given to New or Register.
func (s *Store) Collection(group, resource string) (store.Collection, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.cols[group+"/"+resource]
	if !ok {
		return nil, false
	}
	return c, true
}

// Put creates or replaces objects of the named resource. For tests' setup.
func (s *Store) Put(resource string, objs ...store.Object) {
	name, group, _ := strings.Cut(resource, ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cols[group+"/"+name]
	for _, o := range objs {
		c.putLocked(o)
	}
}

// Spoil makes what is stored at key unreadable, as bytes of nobody knows what are.
func (s *Store) Spoil(resource string, key store.Key) {
	name, group, _ := strings.Cut(resource, ".")
	c := s.cols[group+"/"+name]
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.spoiled == nil {
		c.spoiled = map[store.Key]error{}
	}
	delete(c.now, key)
	c.spoiled[key] = &store.UnreadableError{Path: name + "/" + key.Namespace + "/" + key.Name, Cause: errors.New("spoiled")}
}

// missing is why there is no entry at key.
func (c *Collection) missing(key store.Key) error {
	if err := c.spoiled[key]; err != nil {
		return err
	}
	return store.ErrNotFound
}

// Collection is one resource.
type Collection struct {
	s   *Store
	res store.Resource
	now map[store.Key]*store.Entry
	log []change

	spoiled map[store.Key]error
}

type change struct {
	rev      int64
	old, new *store.Entry
}

var _ store.Collection = (*Collection)(nil)

// Resource of the collection; Namespaced is not known here.
func (c *Collection) Resource() *store.Resource { return &c.res }

func (c *Collection) putLocked(o store.Object) *store.Entry {
	c.s.rev++
	o = o.DeepCopyObject().(store.Object)
	o.SetResourceVersion(strconv.FormatInt(c.s.rev, 10))
	e := store.NewEntry(o, c.s.rev)
	c.recordLocked(change{rev: c.s.rev, old: c.now[e.Key], new: e})
	c.now[e.Key] = e
	return e
}

func (c *Collection) recordLocked(ch change) {
	c.log = append(c.log, ch)
	close(c.s.moved)
	c.s.moved = make(chan struct{})
}

// Get an entry; freshness is always the latest.
func (c *Collection) Get(_ context.Context, key store.Key, _ store.Freshness) (*store.Entry, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if e, ok := c.now[key]; ok {
		return e, nil
	}
	return nil, c.missing(key)
}

// List in the order of keys; paging is not supported.
func (c *Collection) List(_ context.Context, o store.ListOptions) (*store.List, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var out []*store.Entry
	for _, e := range c.now {
		if c.matches(o.Filter, e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *store.Entry) int {
		return strings.Compare(a.Key.Namespace+"/"+a.Key.Name, b.Key.Namespace+"/"+b.Key.Name)
	})
	return &store.List{Revision: c.s.rev, Entries: slices.Values(out), Unreadable: len(c.spoiled)}, nil
}

// Index declares an index, for filters that name it.
func (s *Store) Index(resource string, i store.Index) {
	name, group, _ := strings.Cut(resource, ".")
	c := s.cols[group+"/"+name]
	c.res.Indexes = append(c.res.Indexes, i)
}

func (c *Collection) matches(f store.Filter, e *store.Entry) bool {
	if e == nil || f.Namespace != "" && f.Namespace != e.Key.Namespace || f.Name != "" && f.Name != e.Key.Name {
		return false
	}
	for _, i := range c.res.Indexes {
		if i.Name == f.IndexName && i.Value(e.Object) != f.IndexValue {
			return false
		}
	}
	return f.Match == nil || f.Match(e.Object)
}

// Create an object.
func (c *Collection) Create(_ context.Context, obj store.Object) (*store.Entry, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	key := store.Key{Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if _, ok := c.now[key]; ok {
		return nil, store.ErrExists
	}
	if err := c.spoiled[key]; err != nil {
		return nil, err
	}
	return c.putLocked(obj), nil
}

// present is the entry at key, or nil.
func (c *Collection) present(key store.Key) *store.Entry {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.now[key]
}

// Update an object. f runs without a lock and again when somebody else wrote
// meanwhile, as in the real store.
func (c *Collection) Update(ctx context.Context, key store.Key, f func(*store.Entry) (store.Object, error)) (*store.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := c.present(key)
		if e == nil {
			return nil, c.missing(key)
		}
		o, err := f(e)
		if err != nil {
			return nil, err
		}
		if o == e.Object {
			return e, nil
		}
		if put := c.replace(e, o); put != nil {
			return put, nil
		}
	}
}

// replace returns nil when e is not the present entry any more.
func (c *Collection) replace(e *store.Entry, o store.Object) *store.Entry {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.now[e.Key] != e {
		return nil
	}
	return c.putLocked(o)
}

// Delete an object; allow is called as f is in Update.
func (c *Collection) Delete(ctx context.Context, key store.Key, allow func(*store.Entry) error) (*store.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := c.present(key)
		if e == nil {
			return nil, c.missing(key)
		}
		if allow != nil {
			if err := allow(e); err != nil {
				return nil, err
			}
		}
		if c.drop(e) {
			return e, nil
		}
	}
}

func (c *Collection) drop(e *store.Entry) bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.now[e.Key] != e {
		return false
	}
	c.s.rev++
	delete(c.now, e.Key)
	c.recordLocked(change{rev: c.s.rev, old: e})
	return true
}

// Watch from a revision, or with the present state first.
func (c *Collection) Watch(_ context.Context, o store.WatchOptions) (store.Watcher, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	w := &watcher{c: c, o: o, from: o.From}
	if o.From == 0 {
		w.from = c.s.rev
		if o.Initial {
			for _, k := range slices.SortedFunc(maps.Keys(c.now), func(a, b store.Key) int {
				return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
			}) {
				if e := c.now[k]; c.matches(o.Filter, e) {
					w.first = append(w.first, store.Event{Type: watch.Added, Entry: e, Revision: e.Revision})
				}
			}
		}
		if o.EndOfInitial {
			w.first = append(w.first, store.Event{Type: watch.Bookmark, Revision: c.s.rev, InitialEventsEnd: true})
		}
	}
	return w, nil
}

type watcher struct {
	c     *Collection
	o     store.WatchOptions
	from  int64
	first []store.Event
}

// Next returns what happened since the last call.
func (w *watcher) Next(ctx context.Context) ([]store.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if w.Ended() {
			return nil, store.ErrSlow
		}
		if out := w.first; len(out) > 0 {
			w.first = nil
			return out, nil
		}
		out, moved := w.collect()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// Ended is true after EndWatches.
func (w *watcher) Ended() bool { return w.c.s.slow.Load() }

// EndWatches makes all watches fail as those do that are too slow.
func (s *Store) EndWatches() { s.slow.Store(true) }

func (w *watcher) collect() ([]store.Event, <-chan struct{}) {
	w.c.s.mu.Lock()
	defer w.c.s.mu.Unlock()
	var out []store.Event
	for _, ch := range w.c.log {
		if ch.rev <= w.from {
			continue
		}
		was, is := w.c.matches(w.o.Filter, ch.old), w.c.matches(w.o.Filter, ch.new)
		e := store.Event{Entry: ch.new, Revision: ch.rev}
		switch {
		case was && is:
			e.Type = watch.Modified
		case is:
			e.Type = watch.Added
		case was:
			e.Type, e.Entry = watch.Deleted, ch.old
		default:
			continue
		}
		out = append(out, e)
	}
	w.from = w.c.s.rev
	return out, w.c.s.moved
}

// Stop ends the watch.
func (w *watcher) Stop() {}

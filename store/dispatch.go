package store

// index finds the watchers that a change concerns. Each watcher is in exactly
// one place: under its name, or its index value, or its namespace, or in all.
type index struct {
	n       int
	names   map[Key]set
	values  map[indexValue]set
	indexes map[string]*indexUse
	spaces  map[string]set
	all     set
}

type set map[*watcher]struct{}

type indexValue struct{ name, value string }

// indexUse is an index by which somebody watches.
type indexUse struct {
	value func(Object) string
	n     int
}

func (x *index) init() {
	x.names = map[Key]set{}
	x.values = map[indexValue]set{}
	x.indexes = map[string]*indexUse{}
	x.spaces = map[string]set{}
	x.all = set{}
}

func (x *index) add(w *watcher) {
	x.n++
	f := &w.filter
	switch {
	case f.Name != "":
		put(x.names, Key{f.Namespace, f.Name}, w)
	case f.IndexName != "":
		u := x.indexes[f.IndexName]
		if u == nil {
			u = &indexUse{value: w.value}
			x.indexes[f.IndexName] = u
		}
		u.n++
		put(x.values, indexValue{f.IndexName, f.IndexValue}, w)
	case f.Namespace != "":
		put(x.spaces, f.Namespace, w)
	default:
		x.all[w] = struct{}{}
	}
}

// remove forgets w; false if it was not there.
func (x *index) remove(w *watcher) (ok bool) {
	f := &w.filter
	switch {
	case f.Name != "":
		ok = cut(x.names, Key{f.Namespace, f.Name}, w)
	case f.IndexName != "":
		if ok = cut(x.values, indexValue{f.IndexName, f.IndexValue}, w); ok {
			if u := x.indexes[f.IndexName]; u.n > 1 {
				u.n--
			} else {
				delete(x.indexes, f.IndexName)
			}
		}
	case f.Namespace != "":
		ok = cut(x.spaces, f.Namespace, w)
	default:
		_, ok = x.all[w]
		delete(x.all, w)
	}
	if ok {
		x.n--
	}
	return ok
}

func put[K comparable](m map[K]set, k K, w *watcher) {
	if m[k] == nil {
		m[k] = set{}
	}
	m[k][w] = struct{}{}
}

func cut[K comparable](m map[K]set, k K, w *watcher) bool {
	_, ok := m[k][w]
	delete(m[k], w)
	if len(m[k]) == 0 {
		delete(m, k)
	}
	return ok
}

// each visits the watchers that ch may concern, none twice.
func (x *index) each(ch *change, visit func(*watcher)) {
	e := ch.entry
	if e == nil {
		e = ch.prev
	}
	walk(x.all, visit)
	if len(x.spaces) > 0 {
		walk(x.spaces[e.Key.Namespace], visit)
	}
	if len(x.names) > 0 {
		walk(x.names[e.Key], visit)
		if e.Key.Namespace != "" {
			walk(x.names[Key{Name: e.Key.Name}], visit)
		}
	}
	for name, u := range x.indexes {
		var now, before string
		if ch.entry != nil {
			now = u.value(ch.entry.Object)
			walk(x.values[indexValue{name, now}], visit)
		}
		if ch.prev != nil {
			if before = u.value(ch.prev.Object); ch.entry == nil || before != now {
				walk(x.values[indexValue{name, before}], visit)
			}
		}
	}
}

func walk(s set, visit func(*watcher)) {
	for w := range s {
		visit(w)
	}
}

// dispatch queues a change for the watchers it concerns. The collection's lock
// is held. It returns one of them when they are a crowd.
func (c *collection) dispatch(ch *change, now int64) (witness *watcher) {
	if c.watchers.n == 0 {
		return nil
	}
	var queued int
	var those crowd
	c.watchers.each(ch, func(w *watcher) {
		if ch.rev <= w.from {
			return
		}
		ev, ok := ch.event(&w.filter, w.value)
		if !ok {
			return
		}
		queued++
		first, ok := w.push(ev, now)
		if !ok {
			c.cutOff(w) // a map may lose keys while it is ranged over
			return
		}
		if first {
			c.woken = append(c.woken, w)
		}
		those.count(w)
	})
	c.m.dispatched.Add(float64(queued))
	return those.witness()
}

// endWatchers ends every watcher of the collection.
func (c *collection) endWatchers(err error) {
	c.mu.Lock()
	var ws []*watcher
	collect := func(s set) {
		for w := range s {
			ws = append(ws, w)
		}
	}
	collect(c.watchers.all)
	for _, s := range c.watchers.names {
		collect(s)
	}
	for _, s := range c.watchers.values {
		collect(s)
	}
	for _, s := range c.watchers.spaces {
		collect(s)
	}
	for _, w := range ws {
		c.forgetWatcher(w)
	}
	c.mu.Unlock()
	for _, w := range ws {
		w.end(err)
	}
}

// close ends writers that wait, the watchers and the timer. Closing again does nothing.
func (c *collection) close() {
	c.closing.Do(func() {
		close(c.ended)
		c.endWatchers(c.over())
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.trimmer != nil {
			c.trimmer.Stop()
			c.trimmer = nil
		}
	})
}

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"hyperkube/store/etcd"
)

// twin is the store as one would write it without any thought of speed: the
// whole history in a slice.
type twin struct{ history []fact }

// fact is one change: what key held before and holds now.
type fact struct {
	rev      int64
	key      Key
	old, new *held
}

type held struct {
	node, app string
	rev       int64
}

func (w *twin) at(rev int64) map[Key]held {
	out := map[Key]held{}
	for _, f := range w.history {
		if f.rev > rev {
			break
		}
		delete(out, f.key)
		if f.new != nil {
			out[f.key] = *f.new
		}
	}
	return out
}

func (w *twin) now() map[Key]held { return w.at(1 << 60) }

func (w *twin) record(key Key, rev int64, h *held) {
	f := fact{rev: rev, key: key, new: h}
	if old, ok := w.now()[key]; ok {
		f.old = &old
	}
	if h != nil {
		h.rev = rev
	}
	w.history = append(w.history, f)
}

// twinFilter is a filter in both worlds.
type twinFilter struct {
	f     Filter
	match func(Key, held) bool
}

func twinFilters() []twinFilter {
	node := func(n string) func(Key, held) bool { return func(_ Key, h held) bool { return h.node == n } }
	app := func(o Object) bool { return o.GetLabels()["app"] == "x" }
	return []twinFilter{
		{Filter{}, func(Key, held) bool { return true }},
		{Filter{Namespace: "a"}, func(k Key, _ held) bool { return k.Namespace == "a" }},
		{Filter{Namespace: "a", Name: "p1"}, func(k Key, _ held) bool { return k == Key{"a", "p1"} }},
		{Filter{Name: "p2"}, func(k Key, _ held) bool { return k.Name == "p2" }},
		{Filter{IndexName: "spec.nodeName", IndexValue: "n1"}, node("n1")},
		{Filter{IndexName: "spec.nodeName"}, node("")},
		{Filter{Match: app}, func(_ Key, h held) bool { return h.app == "x" }},
		{Filter{Namespace: "a-b", Match: app}, func(k Key, h held) bool { return k.Namespace == "a-b" && h.app == "x" }},
	}
}

// keysOf are the matching keys in etcd's order, as "ns/name@rev".
func keysOf(m map[Key]held, f twinFilter) []string {
	var paths []string
	byPath := map[string]string{}
	for k, h := range m {
		if f.match(k, h) {
			paths = append(paths, k.path())
			byPath[k.path()] = fmt.Sprintf("%s@%d", k.path(), h.rev)
		}
	}
	sort.Strings(paths)
	for i, p := range paths {
		paths[i] = byPath[p]
	}
	return paths
}

// seen is what a watcher with the filter must be told between two revisions.
func (w *twin) seen(f twinFilter, from, to int64) []string {
	var out []string
	for _, x := range w.history {
		if x.rev <= from || x.rev > to {
			continue
		}
		was := x.old != nil && f.match(x.key, *x.old)
		is := x.new != nil && f.match(x.key, *x.new)
		switch {
		case was && is:
			out = append(out, fmt.Sprintf("MODIFIED %s@%d %s", x.key.path(), x.rev, x.new.node))
		case is:
			out = append(out, fmt.Sprintf("ADDED %s@%d %s", x.key.path(), x.rev, x.new.node))
		case was:
			out = append(out, fmt.Sprintf("DELETED %s@%d %s", x.key.path(), x.rev, x.old.node))
		}
	}
	return out
}

func (h held) pod(k Key) *corev1.Pod {
	p := pod(k.Namespace, k.Name, h.node)
	p.Labels["app"] = h.app
	return p
}

// run is one random run: two servers over one etcd, and the twin.
type run struct {
	t        *rapid.T
	servers  []*collection
	twin     twin
	watchers []*follower
	pages    []*pager
	filters  []twinFilter
}

type follower struct {
	server int
	filter twinFilter
	w      Watcher
	began  int64 // revision it started after
	last   int64
	got    []string
}

type pager struct {
	server int
	filter twinFilter
	rev    int64
	next   string
	got    []string
}

func TestTwin(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	e, err := etcd.Start(t.Context(), etcd.Config{Dir: t.TempDir(), Ephemeral: true, ListenClient: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		prefix := fmt.Sprintf("/t%d", n.Add(1))
		r := &run{t: rt, filters: twinFilters()}
		for _, o := range []Options{{Etcd: e}, {Servers: []string{socket}}} {
			o.Prefix, o.DetectMutation = prefix, true
			s, err := Open(t.Context(), o)
			if err != nil {
				rt.Fatal(err)
			}
			defer s.Close()
			if err := s.Register(podResource()); err != nil {
				rt.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				rt.Fatal(err)
			}
			s.turns.init(2)
			s.turns.moment = time.Millisecond
			r.servers = append(r.servers, pods(t, s))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": r.create, "update": r.update, "delete": r.delete, "list": r.list, "exact": r.exact,
			"page": r.page, "watch": r.watch, "resume": r.resume, "get": r.get,
		})
		r.finish()
	})
}

func (r *run) ctx() context.Context { return r.t.Context() }

func (r *run) pick(t *rapid.T) (*collection, Key) {
	key := Key{
		rapid.SampledFrom([]string{"a", "a-b", "b"}).Draw(t, "namespace"),
		rapid.SampledFrom([]string{"p1", "p2", "p3", "p3.x"}).Draw(t, "name"),
	}
	return r.servers[rapid.IntRange(0, 1).Draw(t, "server")], key
}

func (r *run) value(t *rapid.T) held {
	return held{
		node: rapid.SampledFrom([]string{"", "n1", "n2"}).Draw(t, "node"),
		app:  rapid.SampledFrom([]string{"x", "y"}).Draw(t, "app"),
	}
}

func (r *run) create(t *rapid.T) {
	c, key := r.pick(t)
	h := r.value(t)
	e, err := c.Create(r.ctx(), h.pod(key))
	if _, there := r.twin.now()[key]; there {
		if !errors.Is(err, ErrExists) {
			t.Fatal("create of an existing object:", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.twin.record(key, e.Revision, &h)
}

func (r *run) update(t *rapid.T) {
	c, key := r.pick(t)
	h := r.value(t)
	e, err := c.Update(r.ctx(), key, func(*Entry) (Object, error) { return h.pod(key), nil })
	old, there := r.twin.now()[key]
	switch {
	case !there:
		if !errors.Is(err, ErrNotFound) {
			t.Fatal("update of nothing:", err)
		}
	case err != nil:
		t.Fatal(err)
	case old.node == h.node && old.app == h.app:
		if e.Revision != old.rev {
			t.Fatal("an update without a change was written", e.Revision, old.rev)
		}
	default:
		r.twin.record(key, e.Revision, &h)
	}
}

func (r *run) delete(t *rapid.T) {
	c, key := r.pick(t)
	refuse := errors.New("no")
	if rapid.IntRange(0, 3).Draw(t, "refuse") == 0 {
		if _, err := c.Delete(r.ctx(), key, func(*Entry) error { return refuse }); !errors.Is(err, refuse) && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		return
	}
	e, err := c.Delete(r.ctx(), key, nil)
	old, there := r.twin.now()[key]
	if !there {
		if !errors.Is(err, ErrNotFound) {
			t.Fatal("delete of nothing:", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if e.Object.(*corev1.Pod).Spec.NodeName != old.node || e.Revision <= old.rev {
		t.Fatal("deleted state", e.Revision, e.Object)
	}
	r.twin.record(key, e.Revision, nil)
}

func (r *run) get(t *rapid.T) {
	c, key := r.pick(t)
	e, err := c.Get(r.ctx(), key, Freshness{})
	want, there := r.twin.now()[key]
	if there != (err == nil) || there && e.Revision != want.rev {
		t.Fatal("get", key, e, err, want)
	}
}

func (r *run) filter(t *rapid.T) twinFilter { return rapid.SampledFrom(r.filters).Draw(t, "filter") }

func names(l *List) []string {
	var out []string
	for e := range l.Entries {
		out = append(out, fmt.Sprintf("%s@%d", e.Key.path(), e.Revision))
	}
	return out
}

func (r *run) list(t *rapid.T) {
	c, _ := r.pick(t)
	f := r.filter(t)
	l, err := c.List(r.ctx(), ListOptions{Filter: f.f})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(keysOf(r.twin.now(), f), names(l)); d != "" {
		t.Fatal(d)
	}
	if n := len(r.twin.history); n > 0 && l.Revision < r.twin.history[n-1].rev {
		t.Fatal("list revision", l.Revision)
	}
}

func (r *run) exact(t *rapid.T) {
	if len(r.twin.history) == 0 {
		return
	}
	c, _ := r.pick(t)
	f := r.filter(t)
	rev := r.twin.history[rapid.IntRange(0, len(r.twin.history)-1).Draw(t, "at")].rev
	if rapid.Bool().Draw(t, "lose the ring") {
		c.mu.Lock()
		c.ring.reset(c.snap.Load().rev)
		c.mu.Unlock()
		for _, w := range r.watchers { // they cannot resume over what is lost
			if r.servers[w.server] == c {
				r.drain(w)
			}
		}
	}
	ctx, done := context.WithCancel(r.ctx()) // a request's
	defer done()
	l, err := c.List(ctx, ListOptions{Filter: f.f, Freshness: Freshness{Exact: rev}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(keysOf(r.twin.at(rev), f), names(l)); d != "" || l.Revision != rev {
		t.Fatal(d, l.Revision)
	}
}

// page takes the next page of a list begun before, or begins one.
func (r *run) page(t *rapid.T) {
	var p *pager
	if len(r.pages) > 0 && rapid.Bool().Draw(t, "go on") {
		p = rapid.SampledFrom(r.pages).Draw(t, "pager")
	} else {
		p = &pager{server: rapid.IntRange(0, 1).Draw(t, "server"), filter: r.filter(t)}
		r.pages = append(r.pages, p)
	}
	server := rapid.IntRange(0, 1).Draw(t, "server") // any server can go on
	if p.next == "" {
		server = p.server
	}
	r.nextPage(p, server)
	if p.next == "" {
		r.closePage(p)
	}
}

func (r *run) nextPage(p *pager, server int) {
	ctx, done := context.WithCancel(r.ctx()) // a request's
	defer done()
	l, err := r.servers[server].List(ctx, ListOptions{Filter: p.filter.f, Limit: 2, Continue: p.next})
	if err != nil {
		r.t.Fatal(err)
	}
	if p.next != "" && l.Revision != p.rev {
		r.t.Fatal("revision of a later page", l.Revision, p.rev)
	}
	p.rev, p.next = l.Revision, l.Continue
	p.got = append(p.got, names(l)...)
	if l.Remaining != nil {
		if left := len(keysOf(r.twin.at(p.rev), p.filter)) - len(p.got); int64(left) != *l.Remaining {
			r.t.Fatal("remaining", *l.Remaining, left)
		}
	}
}

func (r *run) closePage(p *pager) {
	if d := cmp.Diff(keysOf(r.twin.at(p.rev), p.filter), p.got); d != "" {
		r.t.Fatal("pages", d)
	}
	r.pages = slices.DeleteFunc(r.pages, func(q *pager) bool { return p == q })
}

func (r *run) watch(t *rapid.T) {
	f := &follower{server: rapid.IntRange(0, 1).Draw(t, "server"), filter: r.filter(t)}
	account := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "account")
	o := WatchOptions{Filter: f.filter.f, Account: account, Initial: true, EndOfInitial: true, Latest: true}
	if n := len(r.twin.history); n > 0 && rapid.Bool().Draw(t, "from the past") {
		o = WatchOptions{Filter: f.filter.f, Account: account, From: r.twin.history[rapid.IntRange(0, n-1).Draw(t, "at")].rev}
	}
	w, err := r.servers[f.server].Watch(r.ctx(), o)
	if errors.Is(err, ErrExpired) && o.From > 0 {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	f.w, f.began, f.last = w, o.From, o.From
	if o.From == 0 {
		r.initial(f)
	}
	r.watchers = append(r.watchers, f)
}

// initial reads the present state up to its marker.
func (r *run) initial(f *follower) {
	var got []string
	for {
		evs, err := f.w.Next(r.ctx())
		if err != nil {
			r.t.Fatal(err)
		}
		for i, ev := range evs {
			if ev.Type != watch.Bookmark {
				got = append(got, fmt.Sprintf("%s@%d", ev.Entry.Key.path(), ev.Revision))
				continue
			}
			if !ev.InitialEventsEnd || i != len(evs)-1 {
				r.t.Fatal("marker", ev)
			}
			f.began, f.last = ev.Revision, ev.Revision
			if d := cmp.Diff(keysOf(r.twin.at(ev.Revision), f.filter), got); d != "" {
				r.t.Fatal("initial state", d)
			}
			return
		}
	}
}

// resume reads what a watcher was told so far and starts it again after that.
func (r *run) resume(t *rapid.T) {
	if len(r.watchers) == 0 {
		return
	}
	f := rapid.SampledFrom(r.watchers).Draw(t, "watcher")
	r.drain(f)
	if f.last == 0 {
		return
	}
	f.w.Stop()
	w, err := r.servers[f.server].Watch(r.ctx(), WatchOptions{Filter: f.filter.f, Account: "a", From: f.last})
	if errors.Is(err, ErrExpired) {
		r.watchers = slices.DeleteFunc(r.watchers, func(g *follower) bool { return f == g })
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	f.w = w
}

// drain reads everything that the twin says the watcher must be told by now.
func (r *run) drain(f *follower) {
	want := r.twin.seen(f.filter, f.began, 1<<60)
	for len(f.got) < len(want) {
		evs, err := f.w.Next(r.ctx())
		if err != nil {
			r.t.Fatal(err, "got", f.got, "want", want)
		}
		for _, ev := range evs {
			p := ev.Entry.Object.(*corev1.Pod)
			f.got = append(f.got, fmt.Sprintf("%s %s@%s %s", ev.Type, ev.Entry.Key.path(), p.ResourceVersion, p.Spec.NodeName))
			f.last = ev.Revision
		}
	}
	if d := cmp.Diff(want, f.got); d != "" {
		r.t.Fatal("events", d)
	}
}

func (r *run) finish() {
	for _, f := range r.watchers {
		r.drain(f)
		f.w.Stop()
	}
	for len(r.pages) > 0 {
		p := r.pages[0]
		for p.next != "" {
			r.nextPage(p, 0)
		}
		r.closePage(p)
	}
	for _, c := range r.servers {
		if n := c.store.pendings.n.Load(); n != 0 {
			r.t.Fatal("writes left pending", n)
		}
		if c.watchers.n != 0 {
			r.t.Fatal("watchers left", c.watchers.n)
		}
	}
}

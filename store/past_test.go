package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"hyperkube/internal/bounds"
	"hyperkube/store/backend"
)

// counted counts the values that reads bring.
type counted struct {
	backend.Backend
	read atomic.Int64
}

func (c *counted) Range(ctx context.Context, r backend.Range) (backend.Page, error) {
	p, err := c.Backend.Range(ctx, r)
	c.read.Add(int64(len(p.KVs)))
	return p, err
}

// longAgo opens a store with objects of two namespaces, and a revision that only etcd still has.
func longAgo(t *testing.T, each int, text string) (*Store, *collection, *counted, int64) {
	t.Helper()
	e := startEtcd(t)
	b := &counted{Backend: backend.NewEmbedded(e, e.Exclusive(), e.Sole())}
	s := openStore(t, Options{backend: b, DetectMutation: true, Compaction: -1})
	c := pods(t, s)
	for _, ns := range []string{"a", "b"} {
		for i := range each {
			p := pod(ns, fmt.Sprintf("p%04d", i), "")
			p.Annotations = map[string]string{"text": text}
			if _, err := c.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
	}
	rev := s.Revision()
	for _, ns := range []string{"a", "b"} {
		if _, err := c.Delete(t.Context(), Key{ns, "p0001"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	c.ring.reset(c.snap.Load().rev)
	c.mu.Unlock()
	b.read.Store(0)
	return s, c, b, rev
}

// TestPastReadsWhatIsAsked: a page of the past costs a page, keeps nothing for the next
// one, and says what the pages of a snapshot say.
func TestPastReadsWhatIsAsked(t *testing.T) {
	const each = 200
	s, c, b, rev := longAgo(t, each, "")
	for _, f := range []Filter{{}, {Namespace: "a"}, {Namespace: "b"}, {Namespace: "b", Name: "p0001"}, {Name: "p0001"},
		{Namespace: "a", Match: func(o Object) bool { return strings.HasSuffix(o.GetName(), "7") }}} {
		for _, limit := range []int64{0, 1, 7, each, each + 1, 10 * each} {
			var got, want []string
			for _, ns := range []string{"a", "b"} {
				for i := range each {
					k, o := Key{ns, fmt.Sprintf("p%04d", i)}, pod(ns, fmt.Sprintf("p%04d", i), "")
					if (f.Namespace == "" || f.Namespace == ns) && (f.Name == "" || f.Name == k.Name) && (f.Match == nil || f.Match(o)) {
						want = append(want, k.path())
					}
				}
			}
			o := ListOptions{Filter: f, Limit: limit, Freshness: Freshness{Exact: rev}}
			for {
				ctx, done := context.WithCancel(t.Context())
				l, err := c.List(ctx, o)
				done()
				if err != nil || l.Revision != rev {
					t.Fatal(l, err)
				}
				page := names(l)
				for i := range page {
					page[i], _, _ = strings.Cut(page[i], "@")
				}
				if got = append(got, page...); limit > 0 && int64(len(page)) > limit {
					t.Fatalf("%d on a page of %d", len(page), limit)
				}
				if l.Continue == "" {
					break
				}
				o = ListOptions{Filter: f, Limit: limit, Continue: l.Continue}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s by %d: %v, want %v", f.Namespace, f.Name, limit, got, want)
			}
		}
	}
	b.read.Store(0)
	ctx, done := context.WithCancel(t.Context())
	defer done()
	if _, err := c.List(ctx, ListOptions{Filter: Filter{Namespace: "a"}, Limit: 3, Freshness: Freshness{Exact: rev}}); err != nil {
		t.Fatal(err)
	}
	if n := b.read.Load(); n > pastFirst {
		t.Errorf("%d values were read for a page of 3", n)
	}
	if n := len(s.kept.list); n > 0 {
		t.Errorf("%d states of the past are kept", n)
	}
}

// TestPastIsBounded: what goes on beyond bounds.PastBytes ends a page early, and what has
// no pages is not read at all.
func TestPastIsBounded(t *testing.T) {
	const size = 1 << 20
	each := bounds.PastBytes/size + 4
	_, c, b, rev := longAgo(t, each, strings.Repeat("x", size))
	ctx, done := context.WithCancel(t.Context())
	defer done()
	if _, err := c.List(ctx, ListOptions{Filter: Filter{Namespace: "a"}, Freshness: Freshness{Exact: rev}}); !errors.Is(err, ErrExpired) {
		t.Error("without pages:", err)
	}
	for name, match := range map[string]func(Object) bool{"all": nil, "last": func(o Object) bool { return o.GetName() == fmt.Sprintf("p%04d", each-1) }} {
		o, found, pages := ListOptions{Filter: Filter{Namespace: "a", Match: match}, Limit: 500, Freshness: Freshness{Exact: rev}}, 0, 0
		for ; ; pages++ {
			b.read.Store(0)
			l, err := c.List(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			if n := b.read.Load(); n > int64(bounds.PastBytes/size+pastFirst) {
				t.Errorf("%s: %d MiB were read for a page", name, n)
			}
			if found += len(names(l)); l.Continue == "" {
				break
			}
			o = ListOptions{Filter: o.Filter, Limit: 500, Continue: l.Continue}
		}
		if want := map[string]int{"all": each, "last": 1}[name]; found != want || pages != 1 {
			t.Errorf("%s: %d on %d pages before the last", name, found, pages)
		}
	}
}

// TestPastTakesPlaces: what was read has a place until its request is over, and whoever
// waits gets it then.
func TestPastTakesPlaces(t *testing.T) {
	s, c, _, rev := longAgo(t, 2, "")
	var ends []context.CancelFunc
	read := func() error {
		ctx, end := context.WithCancel(t.Context())
		ends = append(ends, end)
		_, err := c.List(ctx, ListOptions{Limit: 1, Freshness: Freshness{Exact: rev}})
		return err
	}
	for range bounds.PastReads {
		if err := read(); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.past) != bounds.PastReads {
		t.Fatal(len(s.past), "places are taken")
	}
	if err := read(); !errors.Is(err, ErrExpired) {
		t.Error("one more:", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context(), Key{"a", "p0001"}, Freshness{Exact: rev})
		waiting <- err
	}()
	for _, end := range ends {
		end()
	}
	if err := <-waiting; err != nil {
		t.Error("the one that waited:", err)
	}
	for range bounds.PastReads { // all come back
		s.past <- struct{}{}
	}
}

// TestKeptStatesAreBounded: a state that is kept for the next page goes when it alone would
// keep more than the history of a collection, and the next page is read from etcd.
func TestKeptStatesAreBounded(t *testing.T) {
	s := openStore(t, Options{DetectMutation: true, Compaction: -1}, podResource(), secretPlain())
	c := pods(t, s)
	for _, name := range []string{"p1", "p2", "p3"} {
		if _, err := c.Create(t.Context(), pod("a", name, "")); err != nil {
			t.Fatal(err)
		}
	}
	secrets, _ := s.Collection("", "secrets")
	for _, name := range []string{"s1", "s2"} {
		if _, err := secrets.Create(t.Context(), secret(name)); err != nil {
			t.Fatal(err)
		}
	}
	page, err := c.List(t.Context(), ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.List(t.Context(), ListOptions{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	text := strings.Repeat("x", size)
	for i := range bounds.HistoryBytes/size + 2 {
		if i == bounds.HistoryBytes/size/2 && len(s.kept.list) != 2 {
			t.Fatal("half of it went:", len(s.kept.list), "states are kept")
		}
		_, err := c.Update(t.Context(), Key{"a", "p2"}, func(e *Entry) (Object, error) {
			p := e.Object.DeepCopyObject().(Object)
			p.SetAnnotations(map[string]string{"text": text, "n": fmt.Sprint(i)})
			return p, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(s.kept.list) != 1 || s.kept.list[0].c != secrets {
		t.Errorf("%d states are kept", len(s.kept.list))
	}
	ctx, done := context.WithCancel(t.Context())
	defer done()
	rest, err := c.List(ctx, ListOptions{Limit: 5, Continue: page.Continue})
	if err != nil {
		t.Fatal(err)
	}
	for e := range rest.Entries {
		if len(e.Object.GetAnnotations()) > 0 {
			t.Error(e.Key, "is not as it was")
		}
	}
}

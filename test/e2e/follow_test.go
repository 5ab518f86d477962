package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// follower watches all objects of the servers' namespace, goes on with the other
// server when one ends, and starts with a list where no server knows what was
// between. A span is what was told without such a gap.
type follower struct {
	p     *pairOfServers
	at    int // server
	mu    sync.Mutex
	spans []span
	moved chan struct{} // closed and replaced with every event
}

type span struct {
	from   int64
	events []seenChange
}

type seenChange struct {
	rev  int64
	what string
}

func (f *follower) run(ctx context.Context) {
	last := int64(0)
	for ctx.Err() == nil {
		var err error
		if last == 0 {
			list, listErr := listAll(ctx, f.p.clients[f.at])
			if err = listErr; err == nil {
				last = revision(list.ResourceVersion)
				f.add(func() { f.spans = append(f.spans, span{from: last}) })
			}
		}
		if err == nil {
			last, err = f.follow(ctx, last)
		}
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			last = 0 // nobody knows any more: both were away, or this one has just begun
		}
		f.at = 1 - f.at
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// follow goes on after last until the watch ends, and returns where that was.
func (f *follower) follow(ctx context.Context, last int64) (int64, error) {
	o := metav1.ListOptions{Watch: true, ResourceVersion: fmt.Sprint(last), AllowWatchBookmarks: true}
	w, err := f.p.clients[f.at].Get().Namespace(serversSpace).Resource("configmaps").VersionedParams(&o, scheme.ParameterCodec).Watch(ctx)
	if err != nil {
		return last, err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return last, apierrors.FromObject(e.Object)
		}
		m := e.Object.(*corev1.ConfigMap)
		rev := revision(m.ResourceVersion)
		if e.Type == watch.Bookmark {
			last = max(last, rev)
			continue
		}
		f.add(func() {
			s := &f.spans[len(f.spans)-1]
			s.events = append(s.events, seenChange{rev, fmt.Sprintf("%s %s %s", e.Type, m.Name, m.Data["v"])})
		})
		last = rev
	}
	return last, nil
}

func (f *follower) add(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

// until waits for the change at rev, or one after it.
func (f *follower) until(t *testing.T, rev int64) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		f.mu.Lock()
		s := f.spans[len(f.spans)-1]
		there := s.from >= rev || len(s.events) > 0 && s.events[len(s.events)-1].rev >= rev
		if f.moved == nil {
			f.moved = make(chan struct{})
		}
		moved := f.moved
		f.mu.Unlock()
		if there {
			return
		}
		select {
		case <-moved:
		case <-deadline:
			t.Errorf("a watcher was not told of what happened at %d", rev)
			return
		}
	}
}

// checkFollowers: within a span, each change that anybody knows of was told, once,
// in order and as everybody else saw it.
func checkFollowers(t *testing.T, h *history, followers []*follower) {
	t.Helper()
	known := map[int64]string{}
	for rev, value := range h.acked {
		known[rev] = value
	}
	tellings, gaps := 0, 0
	for _, f := range followers {
		gaps += len(f.spans) - 1
		for _, s := range f.spans {
			for _, e := range s.events {
				tellings++
				if have, ok := known[e.rev]; ok && have != e.what && !endsWith(e.what, have) && !endsWith(have, e.what) {
					t.Errorf("at %d one saw %q and another %q", e.rev, have, e.what)
				}
				known[e.rev] = e.what
			}
		}
	}
	t.Logf("%d changes, told %d times to %d watchers, with %d gaps", len(known), tellings, len(followers), gaps)
	all := make([]int64, 0, len(known))
	for rev := range known {
		all = append(all, rev)
	}
	slices.Sort(all)
	for i, f := range followers {
		for _, s := range f.spans {
			checkSpan(t, i, s, all)
		}
	}
}

func checkSpan(t *testing.T, follower int, s span, all []int64) {
	t.Helper()
	if len(s.events) == 0 {
		return
	}
	last := s.events[len(s.events)-1].rev
	from, _ := slices.BinarySearch(all, s.from+1)
	to, _ := slices.BinarySearch(all, last+1)
	var got []int64
	for _, e := range s.events {
		got = append(got, e.rev)
	}
	if want := all[from:to]; !slices.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("watcher %d after %d: lost, repeated or out of order from place %d: told %v, happened %v",
			follower, s.from, at, got[at:min(at+5, len(got))], want[at:min(at+5, len(want))])
	}
}

func endsWith(event, value string) bool {
	return len(event) > len(value) && event[len(event)-len(value)-1:] == " "+value
}

package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyperkube/internal/bounds"
)

// TestEarlyWatchersAreCutOff: a watch that does not get through what came before it, while
// more is replaced than history is kept, keeps what nobody else does and is ended, though
// nothing of it is queued. One that is through is not, nor are those of the process itself.
func TestEarlyWatchersAreCutOff(t *testing.T) {
	s := openStore(t, Options{DetectMutation: true, Compaction: -1})
	c := pods(t, s)
	first, err := c.Create(t.Context(), pod("big", "p", ""))
	if err != nil {
		t.Fatal(err)
	}
	for i := range initialChunk + 1 {
		if _, err := c.Create(t.Context(), pod("a", fmt.Sprintf("p%d", i), "")); err != nil {
			t.Fatal(err)
		}
	}
	open := func(account string, o WatchOptions) Watcher {
		o.Account, o.Namespace = account, "a"
		w, err := c.Watch(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
		return w
	}
	take := func(w Watcher) {
		t.Helper()
		if evs, err := w.Next(t.Context()); err != nil || len(evs) == 0 {
			t.Fatal(evs, err)
		}
	}
	state, resumed, own := open("x", WatchOptions{Initial: true}), open("x", WatchOptions{From: first.Revision}), open("", WatchOptions{Initial: true})
	take(state) // 500 objects, and does not come for the rest
	take(resumed)
	take(own)
	through := open("x", WatchOptions{Initial: true})
	take(through)
	take(through)
	news := make(chan error, 1)
	go func() {
		_, err := through.Next(t.Context())
		news <- err
	}()
	early := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.early.list.Len()
	}
	for end := time.Now().Add(20 * time.Second); early() > 2 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	const size = 1 << 20
	text := strings.Repeat("x", size)
	for i := range bounds.HistoryBytes/size + 2 {
		if i == bounds.HistoryBytes/size/2 && (state.Ended() || resumed.Ended()) {
			t.Error("cut off when half of it was replaced")
		}
		if _, err := c.Update(t.Context(), Key{"big", "p"}, func(e *Entry) (Object, error) {
			p := e.Object.DeepCopyObject().(Object)
			p.SetAnnotations(map[string]string{"text": text, "n": fmt.Sprint(i)})
			return p, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Create(t.Context(), pod("a", "new", "")); err != nil {
		t.Fatal(err)
	}
	if err := <-news; err != nil {
		t.Error("the one that was through:", err)
	}
	if !state.Ended() || !resumed.Ended() || own.Ended() || through.Ended() {
		t.Error("ended:", state.Ended(), resumed.Ended(), own.Ended(), through.Ended())
	}
	if n := early(); n != 0 {
		t.Errorf("%d watchers count as early", n)
	}
}

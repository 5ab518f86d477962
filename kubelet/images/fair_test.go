package images

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// TestSlots: whatever comes, waits, gives up and goes, namespaces take turns and no place is lost.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 6), 1, 60).Draw(r, "steps")
		wrong := ""
		synctest.Test(t, func(*testing.T) { wrong = playSlots(steps) })
		if wrong != "" {
			r.Fatal(wrong)
		}
	})
}

// puller is one that wants a place.
type puller struct {
	namespace  string
	give       context.CancelFunc
	got, ended bool
}

// playSlots compares with a naive twin, the list of all in the order they came: 0 to 3 is somebody of that namespace
// who comes, 4 the first that waits gives up, and above one that has a place goes.
func playSlots(steps []int) string {
	const places = 2
	s := newSlots(places)
	var all []*puller
	var turns []string
	defer func() {
		for _, x := range all {
			x.give()
		}
		synctest.Wait()
	}()
	held := func(x *puller) bool { return x.got && !x.ended }
	free := func() int {
		n := places
		for _, x := range all {
			if held(x) {
				n--
			}
		}
		return n
	}
	waits := func(namespace string) *puller {
		i := slices.IndexFunc(all, func(x *puller) bool { return !x.got && !x.ended && (namespace == "" || x.namespace == namespace) })
		if i < 0 {
			return nil
		}
		return all[i]
	}
	for at, step := range steps {
		var next *puller // whose turn it is
		had := free()
		switch {
		case step < 4:
			ctx, cancel := context.WithCancel(context.Background())
			x := &puller{namespace: fmt.Sprint(step), give: cancel}
			if had > 0 {
				next = x
			} else if waits(x.namespace) == nil {
				turns = append(turns, x.namespace)
			}
			all = append(all, x)
			go func() { x.got = s.take(ctx, x.namespace) == nil }()
		case step == 4:
			if x := waits(""); x != nil {
				x.give()
				x.ended = true
			}
		default:
			i := slices.IndexFunc(all, held)
			if i < 0 {
				continue
			}
			had++
			if all[i].ended = true; len(turns) > 0 {
				next = waits(turns[0])
				turns = append(turns[1:], turns[0])
			}
			s.leave()
		}
		synctest.Wait()
		if next != nil {
			had--
		}
		if next != nil && !next.got || free() != had || s.free != free() {
			return fmt.Sprintf("step %d: %d are free, %d by the list, want %d; whose turn it was: %+v", at, s.free, free(), had, next)
		}
		turns = slices.DeleteFunc(turns, func(n string) bool { return waits(n) == nil })
		if !slices.Equal(turns, s.order) || len(s.waiting) != len(turns) {
			return fmt.Sprintf("step %d: %v wait, want %v", at, s.order, turns)
		}
	}
	return ""
}

// TestCrowd: who joins when it is full.
func TestCrowd(t *testing.T) {
	c := &crowd{most: 4}
	var ended []string
	leave := map[string]func(){}
	for _, name := range []string{"a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3", "c1"} {
		leave[name] = c.join(name[:1], func() { ended = append(ended, name) })
	}
	// a5 is one too many of its own; b1 and b2 take what a has more; b3 would have more than a; c1 takes the newest of
	// the first with as many as any.
	if want := []string{"a5", "a4", "a3", "b3", "a2"}; !slices.Equal(ended, want) {
		t.Errorf("ended %v, want %v", ended, want)
	}
	for name, gone := range map[string]bool{"a5": true, "b3": true} {
		if (leave[name] == nil) != gone {
			t.Errorf("%s has a place: %v", name, !gone)
		}
	}
	for _, name := range []string{"a1", "a4", "b1", "b2", "c1"} {
		leave[name]()
	}
	if len(c.in) != 0 {
		t.Errorf("%d are left", len(c.in))
	}
}

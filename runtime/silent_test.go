package runtime

import (
	"context"
	"slices"
	"testing"
	"time"

	"hyperkube/internal/sweep"
)

// TestSilent: of each shim the first container that nothing is said of, and of none that answer; what was found goes
// when it is found again long after, and not when the shim has spoken since.
func TestSilent(t *testing.T) {
	running := []shim{{1, "10", "a"}, {2, "20", "b"}, {3, "30", "c"}}
	of := map[string][]string{"a": {"a2", "a1", "a3"}, "b": {"b1"}, "other": {"o1"}}
	mute := map[string]bool{"a2": true, "a3": true, "o1": true}
	ask := func(ctx context.Context, id string) bool {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("asked without a limit")
		}
		return !mute[id]
	}
	want := []shim{{1, "10", "a2"}}
	first := silent(t.Context(), running, of, ask)
	if !slices.Equal(first, want) {
		t.Fatalf("silent: %v", first)
	}
	s, at := &sweep.Sweeper[shim]{After: sweepAfter, Every: sweepEvery}, time.Unix(0, 0)
	look := func() []shim {
		end := s.Look(at, silent(t.Context(), running, of, ask))
		at = at.Add(sweepEvery)
		return end
	}
	if end := look(); end != nil {
		t.Errorf("ended at once: %v", end)
	}
	delete(mute, "a2")
	looks := 0
	for {
		looks++
		end := look()
		if end == nil && looks < 10 {
			continue
		}
		if !slices.Equal(end, []shim{{1, "10", "a3"}}) || time.Duration(looks-1)*sweepEvery < sweepAfter {
			t.Errorf("look %d ended %v", looks, end)
		}
		break
	}
}

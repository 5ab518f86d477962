package runtime

import (
	"context"
	"slices"
	"testing"
	"time"
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
	s, at := suspects{}, time.Unix(0, 0)
	if end := s.look(at, first, nil); end != nil {
		t.Errorf("ended at once: %v", end)
	}
	delete(mute, "a2")
	if end := s.look(at.Add(sweepPause), silent(t.Context(), running, of, ask), nil); end != nil {
		t.Errorf("ended for two containers, each slow once: %v", end)
	}
	if end := s.look(at.Add(2*sweepPause), silent(t.Context(), running, of, ask), nil); !slices.Equal(end, []shim{{1, "10", "a3"}}) {
		t.Errorf("not ended: %v", end)
	}
}

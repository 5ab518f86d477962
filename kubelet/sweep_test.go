package kubelet

import (
	"slices"
	"testing"
	"time"
)

// TestRipe: only what was found at every look for long enough is removed.
func TestRipe(t *testing.T) {
	l, start := looks{}, time.Now()
	for _, step := range []struct {
		after time.Duration
		found []string
		want  []string
	}{
		{0, []string{"volumes/a", "volumes/b"}, nil},
		{2 * time.Minute, []string{"volumes/a", "volumes/b", "logs/c"}, nil},
		{4 * time.Minute, []string{"volumes/a", "logs/c"}, nil}, // b was claimed
		{5 * time.Minute, []string{"volumes/a", "volumes/b", "logs/c"}, []string{"volumes/a"}},
		{8 * time.Minute, []string{"volumes/b", "logs/c"}, []string{"logs/c"}},
		{10 * time.Minute, []string{"volumes/b"}, []string{"volumes/b"}},
		{12 * time.Minute, nil, nil},
	} {
		if got := l.ripe(step.found, start.Add(step.after)); !slices.Equal(got, step.want) {
			t.Errorf("after %v: %v, want %v", step.after, got, step.want)
		}
	}
	if len(l) != 0 {
		t.Errorf("remembers %v", l)
	}
}

package kubelet

import (
	"slices"
	"testing"
	"time"
)

// TestSweepLooksTwice: only what stays nobody's for longer than anything takes to be made is removed.
func TestSweepLooksTwice(t *testing.T) {
	s, start := sightings{}, time.Unix(0, 0)
	for _, look := range []struct {
		after   time.Duration
		orphans []string
		want    []string
	}{
		{0, []string{"a", "b"}, nil},
		{2 * time.Minute, []string{"a", "b", "c"}, nil},
		{4 * time.Minute, []string{"a", "c"}, nil},                     // b was somebody's for a moment
		{6 * time.Minute, []string{"a", "b", "c"}, []string{"a"}},      // c not yet, b anew
		{8 * time.Minute, []string{"a", "b", "c"}, []string{"a", "c"}}, // a could not be removed
		{20 * time.Minute, []string{"b", "d"}, []string{"b"}},
		{20*time.Minute + time.Second, nil, nil},
	} {
		got := s.ripe(start.Add(look.after), look.orphans)
		if !slices.Equal(got, look.want) {
			t.Errorf("after %v: %v, want %v", look.after, got, look.want)
		}
	}
	if len(s) != 0 {
		t.Errorf("remembered for ever: %v", s)
	}
}

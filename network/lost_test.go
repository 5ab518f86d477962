package network

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestEndingPodsAreNotLost: the end of a pod begins with its link, and nobody needs to hear
// of that; a link that stays away is told once.
func TestEndingPodsAreNotLost(t *testing.T) {
	log := &logged{}
	n, err := New(Options{NodeName: "me", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.3.0/24")}, ConfDir: t.TempDir(), StateDir: t.TempDir(), Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for _, step := range []struct {
		after  time.Duration
		lost   []string
		told   int
		again  time.Duration // when the agent looks again, 0: not for this
		reason string
	}{
		{0, []string{"a", "b"}, 0, lostPause, "both are gone just now"},
		{time.Second, []string{"b"}, 0, lostPause, "a has ended"},
		{2 * time.Second, []string{"a", "b"}, 0, lostPause, "a is another's now"},
		{lostPause, []string{"a", "b"}, 1, 2*time.Second + lostPause, "b stays away"},
		{lostPause + time.Second, []string{"a", "b"}, 1, 2*time.Second + lostPause, "b is told"},
		{lostPause + 2*time.Second, []string{"a", "b"}, 2, 0, "a stays away"},
		{2 * lostPause, nil, 2, 0, "both are gone for good"},
		{3 * lostPause, []string{"b"}, 2, 4 * lostPause, "b is gone anew"},
	} {
		n.healAgain = time.Time{}
		lost := map[string]bool{}
		for _, name := range step.lost {
			lost[name] = true
		}
		n.tellLost(lost, nil, start.Add(step.after))
		var again time.Duration
		if !n.healAgain.IsZero() {
			again = n.healAgain.Sub(start)
		}
		if told := strings.Count(log.String(), "a pod's link is gone"); told != step.told || again != step.again {
			t.Errorf("%s: told %d times, looks again after %s; want %d and %s", step.reason, told, again, step.told, step.again)
		}
	}
}

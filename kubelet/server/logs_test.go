package server

import (
	"net/url"
	"testing"
	"time"
)

// TestSince: a time that began before all times shows everything, not nothing.
func TestSince(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for n, want := range map[string]int{"10": 2026, "9223372036": 1733, "9223372037": 1733, "9223372036854775807": 1733} {
		o, _, err := logOptions(url.Values{"sinceSeconds": {n}}, now)
		if err != nil || o.Since.Year() != want {
			t.Errorf("%s: since %v, %v; want the year %d", n, o.Since, err, want)
		}
	}
	for _, n := range []string{"-1", "0", "x", "9223372036854775808"} {
		if _, _, err := logOptions(url.Values{"sinceSeconds": {n}}, now); err == nil {
			t.Errorf("%s is taken", n)
		}
	}
}

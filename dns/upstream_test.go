package dns

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestNoUpstreamIsTold: a host without name servers has a cluster DNS that says what it
// does not answer.
func TestNoUpstreamIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		upstreams []string
		told      bool
	}{
		"none":    {nil, true},
		"one":     {[]string{"192.0.2.1"}, false},
		"as file": {[]string{"/etc/resolv.conf"}, false},
	} {
		var log bytes.Buffer
		_, err := New(Options{Corefile: Corefile(CorefileOptions{Upstreams: tc.upstreams}), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(name, err)
		}
		if told := strings.Contains(log.String(), "names outside of the cluster are refused"); told != tc.told {
			t.Errorf("%s: told %v, want %v: %s", name, told, tc.told, log.String())
		}
	}
}

package trouble

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTeller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		metric := Metric(reg)
		x := New(slog.New(slog.NewTextHandler(&log, nil)), metric, "watching pods")
		x.Well() // nothing was wrong: nothing is said
		for range 60 {
			x.Failed(errors.New("forbidden"), "node", "n1")
			time.Sleep(time.Second)
		}
		x.Well()
		x.Well()
		x.Failed(errors.New("gone"))
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		var msgs []string
		for _, l := range lines {
			_, rest, _ := strings.Cut(l, "msg=")
			msgs = append(msgs, rest)
		}
		want := []string{
			`"watching pods fails, trying again" node=n1 err=forbidden`,
			`"watching pods fails, trying again" node=n1 err=forbidden for=10s more=9`,
			`"watching pods fails, trying again" node=n1 err=forbidden for=30s more=19`,
			`"watching pods works again" after=1m0s`,
			`"watching pods fails, trying again" err=gone`,
		}
		if strings.Join(msgs, "\n") != strings.Join(want, "\n") {
			t.Errorf("told:\n%s\nwant:\n%s", strings.Join(msgs, "\n"), strings.Join(want, "\n"))
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if n := families[0].GetMetric()[0].GetCounter().GetValue(); n != 61 {
			t.Errorf("counted %v failures, want 61", n)
		}
	})
}

// TestOneMetricARole: the parts of a role that share its registry count in one metric.
func TestOneMetricARole(t *testing.T) {
	reg := prometheus.NewRegistry()
	for _, part := range []string{"watching pods", "writing events"} {
		New(slog.New(slog.DiscardHandler), Metric(reg), part).Failed(errors.New("gone"))
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 2 {
		t.Errorf("%v %v", families, err)
	}
}

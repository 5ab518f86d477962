package cluster

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstances: the limit is raised where it is low, kept where it is not, put back by the
// last cluster that goes unless somebody changed it meanwhile, and refusing it is told once.
func TestInstances(t *testing.T) {
	for _, c := range []struct {
		name           string
		have, up       string
		meanwhile      string // what somebody sets after the start
		others         bool
		note           string // instead of what the start noted
		reset, told    string
		refuses, again bool
	}{
		{name: "low", have: "128", up: "8192", reset: "128"},
		{name: "enough", have: "8192", up: "8192", reset: "8192"},
		{name: "more", have: "65536", up: "65536", reset: "65536"},
		{name: "started twice", have: "128", up: "8192", again: true, reset: "128"},
		{name: "raised by somebody since", have: "128", up: "8192", meanwhile: "65536", reset: "65536"},
		{name: "lowered by somebody since", have: "128", up: "8192", meanwhile: "1024", reset: "1024"},
		{name: "another cluster stays", have: "128", up: "8192", others: true, reset: "8192"},
		{name: "the note is damaged", have: "128", up: "8192", note: "{", reset: "8192"},
		{name: "the host refuses", refuses: true, have: "128", up: "128", reset: "128", told: "sysctl -w fs.inotify.max_user_instances=8192"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run")
			if err := os.MkdirAll(filepath.Join(run, "mine"), 0o700); err != nil {
				t.Fatal(err)
			}
			i := instances{sysctl: filepath.Join(t.TempDir(), "sysctl"), note: filepath.Join(run, "inotify.json")}
			set := func(v string) {
				if err := os.WriteFile(i.sysctl, []byte(v+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			is := func(when, want string) {
				t.Helper()
				b, err := os.ReadFile(i.sysctl)
				if got := strings.TrimSpace(string(b)); err != nil || got != want {
					t.Errorf("%s: %s %v, want %s", when, got, err, want)
				}
			}
			set(c.have)
			if c.refuses { // root writes what is read-only, but not into a folder
				if err := os.Mkdir(i.note, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var told []string
			tell := func(s string) { told = append(told, s) }
			i.raise(slog.New(slog.DiscardHandler), tell)
			if c.again {
				i.raise(slog.New(slog.DiscardHandler), tell)
			}
			is("after the start", c.up)
			if got := strings.Join(told, "\n"); c.told == "" && got != "" || !strings.Contains(got, c.told) || len(told) > 1 {
				t.Errorf("told %q", told)
			}
			if c.meanwhile != "" {
				set(c.meanwhile)
			}
			if c.note != "" {
				if err := os.WriteFile(i.note, []byte(c.note), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if !c.others {
				if err := os.Remove(filepath.Join(run, "mine")); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // a reset may be repeated
				if err := i.restore(); err != nil {
					t.Fatal(err)
				}
				is("after the reset", c.reset)
			}
			if _, err := os.Stat(i.note); err == nil && !c.others && !c.refuses {
				t.Error("the note is left")
			}
		})
	}
}

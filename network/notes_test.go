package network

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"hyperkube/internal/netns"
)

// TestPipeForNotes: a pipe in place of notes is set aside like other damage, and not waited for.
func TestPipeForNotes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sysctls.json")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := readSysctls(file, slog.New(slog.DiscardHandler))
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it is waited for")
	}
	if _, err := os.Lstat(file + ".damaged"); err != nil {
		t.Error(err)
	}
}

// TestDamagedNotes: what a power cut left of the agent's notes keeps neither a node from
// setting up its network nor a reset from ending.
func TestDamagedNotes(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "cut off": `{"net/ipv4/ip_for`, "zeros": "\x00\x00\x00\x00", "of another kind": `"x"`} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			ns, err := netns.New()
			if err != nil {
				t.Fatal(err)
			}
			defer ns.Close()
			dir := t.TempDir()
			o := Options{ConfDir: filepath.Join(dir, "net.d"), StateDir: filepath.Join(dir, "state"), Log: slog.New(slog.DiscardHandler)}
			put := func() {
				t.Helper()
				if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
					t.Fatal(err)
				}
				for _, f := range []string{"sysctls.json", "routes.json"} {
					if err := os.WriteFile(filepath.Join(o.StateDir, f), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			put()
			if err := ns.Do(func() error {
				n := &Network{o: o.withDefaults()}
				if err := n.setSysctls(Plan{}); err != nil {
					return err
				}
				_, err := n.o.ourRoutes()
				return err
			}); err != nil {
				t.Errorf("setting up: %v", err)
			}
			for _, f := range []string{"sysctls.json.damaged", "routes.json.damaged"} {
				if have, err := os.ReadFile(filepath.Join(o.StateDir, f)); err != nil || string(have) != content {
					t.Errorf("%s: %q, %v", f, have, err)
				}
			}
			put()
			if err := ns.Do(func() error { return Reset(context.Background(), o) }); err != nil {
				t.Errorf("reset: %v", err)
			}
			if _, err := os.Stat(o.StateDir); !os.IsNotExist(err) {
				t.Errorf("reset left the state: %v", err)
			}
		})
	}
}

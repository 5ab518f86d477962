package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"hyperkube/store/etcd"
)

const childVariable = "STORE_TEST_DURABLE_DIR"

// TestKill kills a process in the midst of its writes: whatever it was told is
// stored is there afterwards.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		writeForever(t, dir)
		return
	}
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acked []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acked = append(acked, lines.Text())
			if len(acked) == 300 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || len(acked) < 300 {
			t.Fatal("child ended by itself", err, acked)
		}
		checkStored(t, dir, acked[:len(acked)-1], round) // the last line may be cut
	}
}

func openDir(t *testing.T, dir string) (*etcd.Server, *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	e, err := etcd.Start(ctx, etcd.Config{Dir: dir, Cluster: "durable"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, Options{Etcd: e})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Register(podResource()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return e, s
}

func writeForever(t *testing.T, dir string) {
	_, s := openDir(t, dir)
	c := pods(t, s)
	base := s.Revision()
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("p-%d-%d-%d", base, w, i)
				e, err := c.Create(context.Background(), pod("a", name, ""))
				if err != nil {
					os.Exit(3)
				}
				fmt.Fprintf(os.Stdout, "%s %d\n", name, e.Revision)
			}
		}()
	}
	select {}
}

func checkStored(t *testing.T, dir string, acked []string, round int) {
	began := time.Now()
	e, s := openDir(t, dir)
	defer e.Stop()
	defer s.Close()
	t.Logf("round %d: open after %v, %d acknowledged, revision %d", round, time.Since(began), len(acked), s.Revision())
	for _, line := range acked {
		var name string
		var rev int64
		if _, err := fmt.Sscanf(line, "%s %d", &name, &rev); err != nil {
			t.Fatal(line, err)
		}
		got, err := pods(t, s).Get(t.Context(), Key{"a", name}, Freshness{})
		if err != nil || got.Revision != rev {
			t.Fatal(name, rev, got, err)
		}
	}
}

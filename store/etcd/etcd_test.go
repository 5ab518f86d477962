package etcd

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

func begin(t *testing.T, c Config) (*Server, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return Start(ctx, c)
}

func TestStartStopAndOwnership(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	began := time.Now()
	s, err := begin(t, Config{Dir: dir, Cluster: "one"})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("ready after", time.Since(began))
	if !s.Exclusive() || !s.Sole() {
		t.Error("a member without listeners is exclusive")
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Error("mode", info.Mode())
	}
	_, err = begin(t, Config{Dir: dir, Cluster: "one"})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Error("locked directory:", err)
	}
	s.Stop()
	_, err = begin(t, Config{Dir: dir, Cluster: "two"})
	if err == nil || !strings.Contains(err.Error(), `belongs to cluster "one"`) {
		t.Error("foreign directory:", err)
	}
	began = time.Now()
	if s, err = begin(t, Config{Dir: dir, Cluster: "one"}); err != nil {
		t.Fatal(err)
	}
	t.Log("ready again after", time.Since(began))
	s.Stop()
	// An empty file, as a power cut leaves it, guards nothing: the next start writes it again.
	file := filepath.Join(dir, identity)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = begin(t, Config{Dir: dir, Cluster: "one"}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if have, err := os.ReadFile(file); err != nil || string(have) != "one\n" {
		t.Errorf("the emptied identity reads %q, %v", have, err)
	}
}

func TestBrokenDirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := begin(t, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := os.WriteFile(filepath.Join(dir, "member", "snap", "db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = begin(t, Config{Dir: dir})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("want one line, got %v", err)
	}
	t.Log(err)
}

func TestPlainIsRefused(t *testing.T) {
	_, err := begin(t, Config{Dir: t.TempDir(), ListenClient: []string{"http://127.0.0.1:0"}})
	if err == nil || !strings.Contains(err.Error(), "nothing in plain") {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestRole(t *testing.T) {
	client := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Role(ctx, []string{
			"--name=m", "--data-dir=" + t.TempDir(), "--unsafe-no-fsync",
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=m=" + peer,
		}, slog.New(slog.DiscardHandler))
	}()
	deadline := time.After(20 * time.Second)
	for {
		resp, err := http.Get(client + "/health")
		if err == nil && resp.StatusCode == http.StatusOK {
			resp.Body.Close()
			break
		}
		select {
		case err := <-done:
			t.Fatal("ended:", err)
		case <-deadline:
			t.Fatal("not healthy:", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := Role(t.Context(), []string{"--no-such-flag"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("bad flag accepted")
	}
}

// TestHelp: every flag is shown, also the one whose zero value etcd cannot print.
func TestHelp(t *testing.T) {
	fs := flag.NewFlagSet("etcd", flag.ContinueOnError)
	embed.NewConfig().AddFlags(fs)
	var out bytes.Buffer
	printFlags(&out, fs)
	fs.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(out.String(), "--"+f.Name+" ") {
			t.Errorf("--%s is not shown", f.Name)
		}
	})
	if strings.Contains(out.String(), "panic calling") {
		t.Error(out.String())
	}
}

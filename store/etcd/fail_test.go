package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hyperkube/store/backend"
)

// breakDatabase takes the database file away from under the member: its next
// commit fails as on a disk that broke, which etcd logs as fatal.
func breakDatabase(dir string) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return err
		}
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); to == filepath.Join(dir, "member", "snap", "db") {
			return unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC)
		}
	}
	return errors.New("no database is open")
}

func put(ctx context.Context, b backend.Backend, key string) error {
	_, ok, err := b.Write(ctx, backend.Write{Key: key, Value: []byte("v")})
	if err == nil && !ok {
		err = errors.New("lost the guard")
	}
	return err
}

// failing makes a member fail and returns when its server gave it up.
func failing(ctx context.Context, dir string) (*Server, error) {
	s, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	b := backend.NewEmbedded(s, true, true)
	for i := range 100 {
		if err := put(ctx, b, fmt.Sprint("/k/", i)); err != nil {
			return nil, err
		}
	}
	w, err := b.Watch(ctx, "/", "0", 1_000_000)
	if err != nil {
		return nil, err
	}
	if err := breakDatabase(dir); err != nil {
		return nil, err
	}
	began := time.Now()
	for i := 0; ; i++ { // acknowledged until the commit fails: the log has them
		if err := put(ctx, b, fmt.Sprint("/l/", i)); errors.Is(err, backend.ErrUnsure) || errors.Is(err, backend.ErrDown) {
			break // under way when it failed, or after: the former may be in the log as well
		} else if err != nil {
			return nil, err
		}
	}
	if _, err := w.Next(ctx); !errors.Is(err, backend.ErrDown) {
		return nil, fmt.Errorf("watch of a failed member: %v", err)
	}
	w.Stop()
	if took := time.Since(began); took > 5*time.Second {
		return nil, fmt.Errorf("calls waited %v for a failed member", took)
	}
	select {
	case <-s.Done():
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestFailedMember: what etcd means to end the process with ends the member.
func TestFailedMember(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := failing(ctx, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); !errors.Is(err, ErrNewProcess) || !strings.Contains(err.Error(), "failed to commit tx") {
		t.Error(err)
	}
	b := backend.NewEmbedded(s, true, true)
	for name, call := range map[string]func() error{
		"write":    func() error { return put(ctx, b, "/x") },
		"remove":   func() error { _, _, err := b.Remove(ctx, "/x", 0); return err },
		"range":    func() error { _, err := b.Range(ctx, backend.Range{Start: "/", End: "0"}); return err },
		"revision": func() error { _, err := b.Revision(ctx); return err },
		"watch":    func() error { _, err := b.Watch(ctx, "/", "0", 1); return err },
		"grant":    func() error { _, err := b.Grant(ctx, 10); return err },
		"compact":  func() error { return b.Compact(ctx, 1) },
	} {
		if err := call(); !errors.Is(err, backend.ErrDown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if total, used := s.Size(); total != 0 || used != 0 {
		t.Error("size", total, used)
	}
	s.Stop() // returns
}

const stage = "ETCD_TEST_STAGE"

// TestNewProcess: the process that takes the place of one with a failed member
// finds all that was acknowledged.
func TestNewProcess(t *testing.T) {
	switch dir := os.Getenv(stage + "_DIR"); os.Getenv(stage) {
	case "fail":
		if _, err := failing(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		t.Setenv(stage, "again")
		t.Fatal(syscall.Exec(os.Args[0], os.Args, os.Environ()))
	case "again":
		s, err := Start(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		p, err := backend.NewEmbedded(s, true, true).Range(t.Context(), backend.Range{Start: "/k/", End: "/k0"})
		if err != nil || len(p.KVs) != 100 {
			t.Fatal(len(p.KVs), err)
		}
		fmt.Println("found them all")
	default:
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestNewProcess$")
		cmd.Env = append(os.Environ(), stage+"=fail", stage+"_DIR="+filepath.Join(t.TempDir(), "data"))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "found them all") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// TestRenewedMember: a member that would fail later is replaced in this process,
// and nothing it stored is lost.
func TestRenewedMember(t *testing.T) {
	s, err := begin(t, Config{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := backend.NewEmbedded(s, true, true)
	old, life, err := s.Running()
	if err != nil {
		t.Fatal(err)
	}
	if err := put(ctx, b, "/k/a"); err != nil {
		t.Fatal(err)
	}
	zap := bridge(slog.New(slog.DiscardHandler), s.member.Load())
	zap.Error("failed to preallocate space when creating a new WAL")
	select {
	case <-life.Done():
	case <-ctx.Done():
		t.Fatal("the member stays")
	}
	for {
		if err = put(ctx, b, "/k/b"); !errors.Is(err, backend.ErrDown) {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	now, _, err := s.Running()
	if err != nil || now == old {
		t.Fatal("not another member", err)
	}
	p, err := b.Range(ctx, backend.Range{Start: "/k/", End: "/k0"})
	if err != nil || len(p.KVs) != 2 {
		t.Fatal(p, err)
	}
}

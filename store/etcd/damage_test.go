package etcd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/store/backend"
)

// written makes a data directory with n objects in it.
func written(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := begin(t, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := backend.NewEmbedded(s, true, true)
	for i := range n {
		if _, ok, err := b.Write(t.Context(), backend.Write{Key: fmt.Sprint("/k/", i), Value: make([]byte, 2000)}); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	s.Stop()
	return dir
}

func segment(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files[len(files)-1]
}

// overwrite puts data into a file at an offset.
func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

// tear leaves half a record at the end of the log, as a crash does.
func tear(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(bytes.TrimRight(data, "\x00"))+7) &^ 7
	overwrite(t, path, end, []byte{200, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3})
	if err := os.Truncate(path, end+11); err != nil {
		t.Fatal(err)
	}
}

// TestDamage damages a data directory. What etcd can work with starts whole;
// all else is refused at once, in one line that says what is wrong and what to do.
func TestDamage(t *testing.T) {
	garbage := []byte(strings.Repeat("garbage ", 10_000))
	database := func(dir string) string { return filepath.Join(dir, "member", "snap", "db") }
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string) error
		want   string // of the error; empty: starts
	}{
		"nothing":                   {func(t *testing.T, dir string) error { return nil }, ""},
		"log torn":                  {func(t *testing.T, dir string) error { tear(t, segment(t, dir)); return nil }, ""},
		"database gone, log whole":  {func(t *testing.T, dir string) error { return os.Remove(database(dir)) }, ""},
		"database empty, log whole": {func(t *testing.T, dir string) error { return os.Truncate(database(dir), 0) }, ""},
		"database empty, log gone": {func(t *testing.T, dir string) error {
			return errors.Join(os.Truncate(database(dir), 0), os.RemoveAll(filepath.Join(dir, "member", "wal")))
		}, "is empty and"},
		"log cut in half": {func(t *testing.T, dir string) error { return os.Truncate(segment(t, dir), 300*1100) },
			"write-ahead log is cut short"},
		"log gone": {func(t *testing.T, dir string) error { return os.RemoveAll(filepath.Join(dir, "member", "wal")) },
			"write-ahead log is gone"},
		"file of the log gone": {func(t *testing.T, dir string) error { return os.Remove(segment(t, dir)) },
			"write-ahead log is gone"},
		"log overwritten": {func(t *testing.T, dir string) error { overwrite(t, segment(t, dir), 100_000, garbage); return nil },
			"write-ahead log"},
		"log flipped a bit": {func(t *testing.T, dir string) error { overwrite(t, segment(t, dir), 100_000, []byte{0xff}); return nil },
			"write-ahead log"},
		"database cut in half": {func(t *testing.T, dir string) error { return os.Truncate(database(dir), 300*1024) },
			"is damaged: it has 307200 bytes of"},
		"database cut to a page": {func(t *testing.T, dir string) error { return os.Truncate(database(dir), 4096) },
			"is damaged"},
		"database overwritten": {func(t *testing.T, dir string) error { overwrite(t, database(dir), 8192, garbage); return nil },
			"is damaged"},
		"database no database": {func(t *testing.T, dir string) error { return os.WriteFile(database(dir), garbage, 0o600) },
			"is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := written(t, 300)
			if err := c.damage(t, dir); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			s, err := begin(t, Config{Dir: dir})
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Stop()
				p, err := backend.NewEmbedded(s, true, true).Range(t.Context(), backend.Range{Start: "/k/", End: "/k0"})
				if err != nil || len(p.KVs) != 300 {
					t.Fatal(len(p.KVs), err)
				}
				return
			}
			if err == nil {
				s.Stop()
				t.Fatal("started")
			}
			var unusable *UnusableError
			if !errors.As(err, &unusable) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "restore it from a snapshot") {
				t.Errorf("want %q, got %v", c.want, err)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "goroutine") {
				t.Errorf("not one line: %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Error("took", took)
			}
		})
	}
}

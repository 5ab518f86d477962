package logfile

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFull: however much is written, the files of a log stay within their cap, nothing is
// lost but what was rotated out, and lines are whole and in order.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(Options{Path: path, MaxBytes: 1000, Keep: 3})
	if err != nil {
		t.Fatal(err)
	}
	line := func(i int) string { return fmt.Sprintf("line %04d %s\n", i, strings.Repeat("x", 80)) }
	for i := range 100 {
		if _, err := l.Write([]byte(line(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var all string
	for _, name := range []string{"log.3.gz", "log.2.gz", "log.1.gz", "log"} {
		text, size := read(t, filepath.Join(filepath.Dir(path), name))
		if size > 1000 || len(text) > 1000 {
			t.Errorf("%s has %d bytes", name, size)
		}
		all += text
	}
	want := ""
	for i := 100 - strings.Count(all, "\n"); i < 100; i++ {
		want += line(i)
	}
	if all != want || strings.Count(all, "\n") < 30 {
		t.Errorf("kept %d lines, not the last ones in order", strings.Count(all, "\n"))
	}
	found, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(found) != 4 {
		t.Errorf("files: %v, %v", found, err)
	}
	for _, f := range found {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
}

func read(t *testing.T, path string) (text string, size int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), info.Size()
}

// TestStreams: what is written to a descriptor, as a panic is, follows the log.
func TestStreams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	stream, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	l, err := Open(Options{Path: path, MaxBytes: 20, Keep: 1, Streams: []int{int(stream.Fd())}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprintln(l, "first line of the log")
	fmt.Fprintln(l, "second line")
	if _, err := unix.Write(int(stream.Fd()), []byte("panic: at last\n")); err != nil {
		t.Fatal(err)
	}
	if text, _ := read(t, path); text != "second line\npanic: at last\n" {
		t.Errorf("the log has %q", text)
	}
}

// TestLeftUncompressed: what a killed process left is compressed later, and counted.
func TestLeftUncompressed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for name, text := range map[string]string{"": "new", ".1": "killed before this was compressed"} {
		if err := os.WriteFile(path+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := Rotation{Path: path, Keep: 2, Compress: true}
	if err := r.Rotate(); err != nil {
		t.Fatal(err)
	}
	r.Wait()
	if text, _ := read(t, path+".2.gz"); !strings.HasPrefix(text, "killed") {
		t.Errorf("%q", text)
	}
	if found, _ := os.ReadDir(filepath.Dir(path)); len(found) != 2 {
		t.Errorf("files: %v", found)
	}
}

// TestManyWriters: lines of several goroutines stay whole across rotations.
func TestManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := Open(Options{Path: path, MaxBytes: 4000, Keep: 100})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				fmt.Fprintf(l, "%d-%03d\n", g, i)
			}
		})
	}
	wg.Wait()
	l.Close()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		text, _ := read(t, f)
		for line := range strings.Lines(text) {
			seen[line] = true
		}
	}
	if len(seen) != 800 {
		t.Errorf("%d different lines in %d files, want 800", len(seen), len(files))
	}
}

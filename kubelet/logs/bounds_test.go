package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"hyperkube/internal/bounds"
)

// hole is a part of a file without line ends.
const hole = 48 << 20

const stamp = "2026-11-20T21:40:00Z stdout F "

// TestEndlessLine: a file without line ends, as a crash or another runtime may leave it, is neither held whole nor does
// it hide what comes after.
func TestEndlessLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "%sbefore\n%s", stamp, stamp)
	if _, err := f.Seek(hole, 1); err != nil { // a hole: no disk, but as many bytes
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\n%safter\n", stamp)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var out bytes.Buffer
	if err := new(Reader).Read(t.Context(), path, Options{}, nil, &out); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	got := strings.Split(out.String(), "\n")
	if len(got) != 4 || got[0] != "before" || got[2] != "after" || len(got[1]) > bounds.LogEntry {
		t.Errorf("%d lines, the second of %d bytes", len(got), len(got[min(1, len(got)-1)]))
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d bytes were needed", grown)
	}
	out.Reset()
	if err := new(Reader).Read(t.Context(), path, Options{Tail: new(int64(1))}, nil, &out); err != nil || out.String() != "after\n" {
		t.Errorf("tail: %.40q, %v", out.String(), err)
	}
	runtime.ReadMemStats(&before)
	if got := Tail(path, 5, 100); got != "after\n" {
		t.Errorf("last words: %.40q", got)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8*hole { // the file once, in blocks that are joined
		t.Errorf("%d bytes were needed for the last words", grown)
	}
}

// TestTailOfRotated: counting the lines of the newest file takes a block of memory, not the file.
func TestTailOfRotated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "0.log")
	old := strings.Repeat(stamp+"old\n", 10)
	if err := os.WriteFile(path+".20261120-214000", []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	line := stamp + strings.Repeat("x", 16<<10) + "\n"
	if err := os.WriteFile(path, []byte(strings.Repeat(line, 2000)), 0o600); err != nil { // 32 MiB
		t.Fatal(err)
	}
	var out countingWriter
	if err := new(Reader).Read(t.Context(), path, Options{Tail: new(int64(2003))}, nil, &out); err != nil {
		t.Fatal(err)
	}
	if out.lines != 2003 {
		t.Errorf("%d lines", out.lines)
	}
}

type countingWriter struct{ lines int }

func (c *countingWriter) Write(b []byte) (int, error) {
	c.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

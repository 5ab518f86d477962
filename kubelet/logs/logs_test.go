package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func line(i int, stream, tag, text string) string {
	return fmt.Sprintf("2026-11-20T12:00:%02d.000000001Z %s %s %s\n", i, stream, tag, text)
}

func save(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	save(t, dir, "0.log.20261120-110000", line(1, "stdout", "F", "older"))
	path := save(t, dir, "0.log", line(2, "stdout", "P", "half ")+line(3, "stdout", "F", "whole")+line(4, "stderr", "F", "oops")+"torn line\n"+line(5, "stdout", "F", "last"))
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"all":        {Options{}, "older\nhalf whole\noops\nlast\n"},
		"tail":       {Options{Tail: new(int64(1))}, "last\n"},
		"none":       {Options{Tail: new(int64(0))}, ""},
		"tail more":  {Options{Tail: new(int64(4))}, "older\nhalf whole\noops\nlast\n"},
		"timestamps": {Options{Tail: new(int64(1)), Timestamps: true}, "2026-11-20T12:00:05.000000001Z last\n"},
		"since":      {Options{Since: time.Date(2026, 11, 20, 12, 0, 4, 0, time.UTC)}, "oops\nlast\n"},
		"limit":      {Options{Limit: new(int64(8))}, "older\nha"},
		"stream":     {Options{Stream: "stderr"}, "oops\n"},
	} {
		var out bytes.Buffer
		if err := new(Reader).Read(t.Context(), path, c.o, nil, &out); err != nil || out.String() != c.want {
			t.Errorf("%s: %q, %v; want %q", name, out.String(), err, c.want)
		}
	}
	if got := Tail(path, 2, 8); got != "ps\nlast\n" {
		t.Errorf("tail %q", got)
	}
}

func TestTailOfLargeFile(t *testing.T) {
	var b strings.Builder
	for i := range 20000 {
		b.WriteString(line(i%60, "stdout", "F", fmt.Sprint("line ", i)))
	}
	path := save(t, t.TempDir(), "0.log", b.String())
	for _, n := range []int64{1, 999, 5000} {
		var out bytes.Buffer
		if err := new(Reader).Read(t.Context(), path, Options{Tail: &n}, nil, &out); err != nil {
			t.Fatal(err)
		}
		if got := int64(strings.Count(out.String(), "\n")); got != n || !strings.HasPrefix(out.String(), fmt.Sprint("line ", 20000-n)) {
			t.Errorf("tail of %d: %d lines from %.20q", n, got, out.String())
		}
	}
}

// TestFollow reads while lines are written and the file is rotated; it ends after the container.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	path := save(t, dir, "0.log", line(1, "stdout", "F", "one"))
	var alive atomic.Bool
	alive.Store(true)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := new(Reader).Read(context.Background(), path, Options{Follow: true}, alive.Load, w)
		w.Close()
		done <- err
	}()
	want := func(text string) {
		t.Helper()
		buf := make([]byte, len(text))
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != text {
			t.Fatalf("%q %v", buf, err)
		}
	}
	want("one\n")
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.WriteString(text)
		f.Close()
	}
	add(line(2, "stdout", "F", "two"))
	want("two\n")
	rot := &Rotator{MaxSize: 1, MaxFiles: 3, Log: slog.New(slog.DiscardHandler), Reopen: func(context.Context, string) error {
		add(line(3, "stdout", "F", "three"))
		return nil
	}}
	if err := rot.Check(t.Context(), File{ID: "x", Path: path}); err != nil {
		t.Fatal(err)
	}
	want("three\n")
	alive.Store(false)
	add(line(4, "stdout", "F", "four"))
	want("four\n")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(line(1, "stdout", "F", "text")))
	f.Add([]byte("2026-11-20T12:00:00Z stderr P"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err == nil && e.Stream != "stdout" && e.Stream != "stderr" {
			t.Errorf("stream %q", e.Stream)
		}
	})
}

package logs

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hyperkube/internal/bounds"
)

// Options is what a reader may ask for.
type Options struct {
	Follow     bool
	Timestamps bool
	Tail       *int64    // last lines only
	Since      time.Time // entries at or after
	Limit      *int64    // bytes written at most
	Stream     string    // stdout or stderr only
}

// errLimit ends a read that has written enough.
var errLimit = errors.New("limit reached")

// Read writes a container's log. With Follow it goes on until ctx ends or, once everything is written, alive says
// that the container has stopped.
func (r *Reader) Read(ctx context.Context, path string, o Options, alive func() bool, w io.Writer) error {
	out := &printer{o: o, w: w, left: -1, begin: true}
	if o.Limit != nil {
		out.left = *o.Limit
	}
	err := r.read(ctx, path, o, alive, out)
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

func (r *Reader) read(ctx context.Context, path string, o Options, alive func() bool, out *printer) error {
	var changed <-chan struct{}
	if o.Follow { // who gets no watch looks once a second
		var stop func()
		changed, stop = r.watch(filepath.Dir(path))
		defer stop()
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("failed to open log file %q: %w", path, err)
	}
	defer func() { f.Close() }()
	if err := begin(f, path, o, out); err != nil {
		return err
	}
	text := &lines{r: bufio.NewReaderSize(f, block)}
	for {
		// Asked before reading: what is written before the container's end is then read below.
		last := !o.Follow || !alive()
		if err := copyLines(ctx, text, out, last); err != nil {
			return err
		}
		if fresh, err := rotated(f, path); err == nil && fresh != nil {
			if err := copyLines(ctx, text, out, true); err != nil { // what came until the rotation
				fresh.Close()
				return err
			}
			f.Close()
			f, text = fresh, &lines{r: bufio.NewReaderSize(fresh, block)}
			continue
		}
		if last {
			return nil
		}
		if err := waitChange(ctx, changed); err != nil {
			return nil // the reader has gone, or the kubelet is going
		}
	}
}

// begin writes older files first, or finds the place in the file at which a tail begins.
func begin(f *os.File, path string, o Options, out *printer) error {
	older := Rotated(path)
	if o.Tail == nil {
		for _, p := range older {
			if err := copyFile(p, out); err != nil {
				return err
			}
		}
		return nil
	}
	at, err := tailOffset(f, *o.Tail)
	if err != nil {
		return err
	}
	if at == 0 && *o.Tail > 0 && len(older) > 0 {
		if err := tailOlder(f, older, *o.Tail, out); err != nil {
			return err
		}
	}
	_, err = f.Seek(at, io.SeekStart)
	return err
}

// tailOlder writes the lines that the newest file lacks from the rotated file before it.
func tailOlder(f *os.File, older []string, want int64, out *printer) error {
	missing := want
	all := &lines{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), block)}
	for {
		line, err := all.next(true)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
		if e, err := Parse(line); err == nil && !e.Partial {
			missing--
		}
	}
	prev := older[len(older)-1]
	if missing <= 0 || strings.HasSuffix(prev, ".gz") {
		return nil
	}
	p, err := os.Open(prev)
	if err != nil {
		return nil // removed by a rotation just now
	}
	defer p.Close()
	at, err := tailOffset(p, missing)
	if err != nil {
		return err
	}
	if _, err := p.Seek(at, io.SeekStart); err != nil {
		return err
	}
	return copyLines(context.Background(), &lines{r: bufio.NewReaderSize(p, block)}, out, true)
}

// Rotated lists the rotated files of a log, oldest first.
func Rotated(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+".") && !strings.HasSuffix(e.Name(), ".tmp") {
			out = append(out, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.Sort(out)
	return out
}

func copyFile(path string, out *printer) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // removed by a rotation just now
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		gz, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("reading %s: %w", filepath.Base(path), err)
		}
		defer gz.Close()
		r = gz
	}
	return copyLines(context.Background(), &lines{r: bufio.NewReaderSize(r, block)}, out, true)
}

// lines reads whole lines; the begin of a line that is still being written is kept for the next read. Of a line that
// is longer than any runtime writes, only the begin is kept.
type lines struct {
	r    *bufio.Reader
	rest []byte
	cut  bool // the end of the line is passed over
}

func (l *lines) next(final bool) ([]byte, error) {
	for {
		part, err := l.r.ReadSlice('\n')
		if room := bounds.LogEntry - len(l.rest); len(part) > room {
			part, l.cut = part[:room], true
		}
		l.rest = append(l.rest, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == nil || err == io.EOF && final && len(l.rest) > 0 {
			line := l.rest
			if l.cut && err == nil {
				line[len(line)-1] = '\n'
			}
			l.rest, l.cut = nil, false
			return line, nil
		}
		return nil, err
	}
}

func copyLines(ctx context.Context, l *lines, out *printer, final bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := l.next(final)
		if err == io.EOF {
			return out.flush()
		}
		if err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
		e, err := Parse(line)
		if err != nil {
			continue // a line torn by a crash
		}
		if err := out.print(e); err != nil {
			return err
		}
	}
}

// rotated returns the new file at path when f is not it any more.
func rotated(f *os.File, path string) (*os.File, error) {
	here, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	mine, err := f.Stat()
	if err != nil || os.SameFile(here, mine) {
		return nil, err
	}
	return os.Open(path)
}

// waitChange waits for the directory to change. The container's end shows as no change of its own,
// so a follower looks up now and then as well.
func waitChange(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-timer.C:
	}
	return nil
}

// printer writes entries as they were asked for.
type printer struct {
	o     Options
	w     io.Writer
	left  int64 // bytes that may still be written; -1 for any number
	begin bool  // at a line's begin
	skip  bool
}

func (p *printer) print(e Entry) error {
	if p.begin {
		p.skip = !p.o.Since.IsZero() && e.Time.Before(p.o.Since) || p.o.Stream != "" && p.o.Stream != e.Stream
	}
	first := p.begin
	p.begin = !e.Partial
	if p.skip {
		return nil
	}
	if first && p.o.Timestamps {
		if err := p.write([]byte(e.Time.Format(time.RFC3339Nano) + " ")); err != nil {
			return err
		}
	}
	text := e.Text
	if !e.Partial {
		text = append(slices.Clip(text), '\n')
	}
	return p.write(text)
}

func (p *printer) write(b []byte) error {
	if p.left == 0 {
		return errLimit
	}
	if p.left > 0 && int64(len(b)) > p.left {
		b = b[:p.left]
	}
	n, err := p.w.Write(b)
	if p.left > 0 {
		if p.left -= int64(n); p.left == 0 && err == nil {
			return errLimit
		}
	}
	return err
}

func (p *printer) flush() error {
	if f, ok := p.w.(interface{ Flush() }); ok {
		f.Flush()
	}
	return nil
}

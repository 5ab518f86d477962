// Package logfile keeps a log small on disk: a full file is set aside and compressed, and
// only some of those are kept.
//
//	log ──full──▶ log.1 ──compressed──▶ log.1.gz ──next time──▶ log.2.gz … ──▶ removed
//
// Contract: the log at its path is always there for appending and never compressed.
// Compression runs beside the writers, one at a time; a rotation waits for the one before.
// What a killed process left uncompressed is compressed by the next rotation. A rotation
// that fails leaves the log as it is, and writing goes on.
package logfile

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"hyperkube/internal/supervise"
)

// Rotation is how a log is set aside.
type Rotation struct {
	Path     string
	Keep     int // files set aside
	Compress bool

	compressing sync.WaitGroup
}

// Rotate sets the log aside; there is none at its path then. One goroutine at a time.
func (r *Rotation) Rotate() error {
	r.compressing.Wait()
	for i := r.Keep; i >= 0; i-- {
		for _, suffix := range []string{"", ".gz"} {
			if err := r.shift(i, suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("setting the log aside: %w", err)
			}
		}
	}
	if r.Compress {
		r.compressing.Go(func() {
			// A file that cannot be compressed stays as it is, until the next rotation tries again.
			_ = supervise.Contain("compressing a log", func() error { return r.compressAll() })
		})
	}
	return nil
}

// shift moves the i-th file one further; the last one is removed. The 0th is the log.
func (r *Rotation) shift(i int, suffix string) error {
	switch {
	case i == 0 && suffix != "":
		return nil
	case i == 0:
		return os.Rename(r.Path, r.name(1))
	case i == r.Keep:
		return os.Remove(r.name(i) + suffix)
	default:
		return os.Rename(r.name(i)+suffix, r.name(i+1)+suffix)
	}
}

func (r *Rotation) name(i int) string { return fmt.Sprintf("%s.%d", r.Path, i) }

func (r *Rotation) compressAll() error {
	var errs []error
	for i := 1; i <= r.Keep; i++ {
		if err := compress(r.name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Wait returns when nothing is being compressed.
func (r *Rotation) Wait() { r.compressing.Wait() }

// compress replaces a file by path.gz, which appears whole.
func compress(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := path + ".gz.new"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Sync(), out.Close()); err == nil { // on disk before the log itself goes
		err = os.Rename(tmp, path+".gz")
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Remove(path)
}

// Options of a File.
type Options struct {
	Path     string
	MaxBytes int64 // a fuller log is set aside
	Keep     int
	// Streams are file descriptors that lead to the log, also after it was set aside:
	// what the process prints when it dies of a panic.
	Streams []int
}

// File is a log of this process, always compressed when it is set aside. It is safe for
// several goroutines.
type File struct {
	o      Options
	rotate Rotation

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens the log for appending and leads the streams to it.
func Open(o Options) (*File, error) {
	l := &File{o: o, rotate: Rotation{Path: o.Path, Keep: o.Keep, Compress: true}}
	return l, l.open()
}

func (l *File) open() error {
	f, err := os.OpenFile(l.o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	info, err := f.Stat()
	for _, fd := range l.o.Streams {
		if err == nil {
			err = unix.Dup3(int(f.Fd()), fd, 0)
		}
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("opening the log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write appends a line, to a new file when the old one would be too full.
func (l *File) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(p)) > l.o.MaxBytes {
		// Where it fails, the next try comes when as much again was written.
		l.size = 0
		if err := l.rotate.Rotate(); err == nil {
			if old := l.file; l.open() == nil {
				old.Close()
			}
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// Close ends the log; streams stay where they lead.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rotate.Wait()
	return l.file.Close()
}

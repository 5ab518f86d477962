// Package regular opens files that somebody may have put something else in place of: a pipe
// keeps whoever opens it waiting for ever, a device or a socket is no data.
//
// Contract: nothing here waits for anybody. What is no regular file is ErrIrregular, wrapped
// with what it is. Links are followed.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrIrregular tells that a path names something else than a file.
var ErrIrregular = errors.New("not a regular file: move it away")

// Largest is how many bytes a file may have that is read whole.
const Largest = 64 << 20

// OpenFile is os.OpenFile for regular files.
func OpenFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, mode)
	if err != nil {
		return nil, explain(path, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = irregular(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// explain says of a pipe nobody reads, and of a socket, what they are.
func explain(path string, err error) error {
	if info, e := os.Stat(path); e == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return irregular(path, info)
	}
	return err
}

func irregular(path string, info fs.FileInfo) error {
	kind := "a device"
	switch {
	case info.IsDir():
		kind = "a folder"
	case info.Mode()&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case info.Mode()&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return fmt.Errorf("%s is %s, %w", path, kind, ErrIrregular)
}

// Open is os.Open for regular files.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// Check refuses what is no regular file, for who opens it in another way; nothing there is
// well.
func Check(path string) error {
	f, err := Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// ReadFile is os.ReadFile for regular files of at most Largest bytes.
func ReadFile(path string) ([]byte, error) { return ReadMost(path, Largest) }

// ReadMost reads a file of at most most bytes.
func ReadMost(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// WriteFile is os.WriteFile for a file whose name is the caller's own: what is no file there
// makes room for it, but for a folder.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	f, err := OpenFile(path, flags, mode)
	if errors.Is(err, ErrIrregular) {
		if err := os.Remove(path); err != nil {
			return err
		}
		f, err = OpenFile(path, flags|os.O_EXCL, mode)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Package carried holds the programs that travel inside the hyperkube binary,
// because the kernel or containerd must exec them: runc, containerd's shim, our
// CNI plugin, the pause program and the keeper of a cluster's process. They are compressed and unpacked on first
// use into a folder named after their content, so that two versions of the
// binary never overwrite each other's files and a running container keeps its own.
//
// `make` fills files/; a binary built without it says so when it is asked.
package carried

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/zstd"

	"hyperkube/internal/regular"
)

//go:embed all:files
var files embed.FS

// The programs, by the name they get on disk.
const (
	Runc  = "runc"
	Shim  = "containerd-shim-runc-v2"
	CNI   = "hyperkube-cni"
	Pause = "pause"
	Keep  = "hyperkube-keep"
)

// all are the programs in the order in which they name their folder.
var all = [...]string{Runc, Shim, CNI, Pause, Keep}

// ErrAbsent is returned by a binary that was built without its programs.
var ErrAbsent = errors.New("this binary carries no container programs: build it with make, not with go build alone")

// Unpack writes all programs below dir and returns the folder that holds them. Programs that
// are there whole are left alone; others are replaced: whose machine lost its power while
// they were written, or whose disk lost them, gets them back.
func Unpack(dir string) (string, error) {
	return unpack(dir, all[:]...)
}

// Place is Unpack for one program and returns its path.
func Place(dir, name string) (string, error) {
	out, err := unpack(dir, name)
	return filepath.Join(out, name), err
}

func unpack(dir string, wanted ...string) (string, error) {
	sum := sha256.New()
	packed := map[string][]byte{}
	for _, n := range all {
		b, err := files.ReadFile("files/" + n + ".zst")
		if errors.Is(err, fs.ErrNotExist) {
			return "", ErrAbsent
		}
		if err != nil {
			return "", fmt.Errorf("reading carried %s: %w", n, err)
		}
		packed[n] = b
		sum.Write(b)
	}
	out := filepath.Join(dir, hex.EncodeToString(sum.Sum(nil))[:16])
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("unpacking carried programs: %w", err)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(wanted))
	for i, n := range wanted {
		wg.Go(func() { errs[i] = unpackOne(filepath.Join(out, n), packed[n]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return out, nil
}

// Program returns one program's bytes (the pause image is built from them).
func Program(name string) ([]byte, error) {
	b, err := files.ReadFile("files/" + name + ".zst")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("reading carried %s: %w", name, err)
	}
	r, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", name, err)
	}
	defer r.Close()
	return io.ReadAll(r)
}

func unpackOne(path string, packed []byte) error {
	r, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", path, err)
	}
	defer r.Close()
	if whole(path, r) {
		return nil
	}
	if err := r.Reset(bytes.NewReader(packed)); err != nil {
		return fmt.Errorf("unpacking %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", path, err)
	}
	return nil
}

// whole reports whether the file at path is the program that want gives, and may be run.
func whole(path string, want io.Reader) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o755 {
		return false
	}
	f, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return same(f, want)
}

// same compares two streams to their ends.
func same(a, b io.Reader) bool {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return false
		}
		if errA != nil || errB != nil {
			return ended(errA) && ended(errB)
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Package tree removes directories that others have filled, whatever they have put there: in a
// pod directories may nest without end, and os.RemoveAll has one of each level open.
//
// Contract: no link is followed and no mount entered; a mount below is an error, and what it
// hides stays. Few descriptors are open at a time, however deep the tree is.
package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// deepest is how many directories are open at once. What lies deeper, as containers may nest without end, is moved
	// up to the top and removed from there.
	deepest = 128
	names   = 512 // of a directory that are held at once
	// patience ends a removal that somebody writes against; it is tried again.
	patience = 10 * time.Minute
)

// removal removes one tree. No step follows a link or enters a mount: the kernel refuses.
type removal struct {
	top   int
	moved int
	until time.Time
}

// Remove removes dir and everything below it on its own mount.
func Remove(dir string) error {
	parent, err := unix.Open(filepath.Dir(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	defer unix.Close(parent)
	name := filepath.Base(dir)
	top, err := enter(parent, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return unix.Unlinkat(parent, name, 0)
	case err != nil:
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	r := &removal{top: top, until: time.Now().Add(patience)}
	if err = r.empty(top, 0); err == nil { // with what is moved up meanwhile
		err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}

// enter opens a directory that is neither a link nor another mount.
func enter(dir int, name string) (int, error) {
	return unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
}

// empty removes what is in the open directory, which it closes.
func (r *removal) empty(fd, depth int) error {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	for {
		list, err := f.Readdirnames(names)
		if err != nil && err != io.EOF {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		for _, name := range list {
			if err := r.entry(fd, name, depth); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		if time.Now().After(r.until) {
			return fmt.Errorf("not done after %v", patience)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil { // the list has changed under the reader
			return err
		}
	}
}

func (r *removal) entry(dir int, name string, depth int) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return named(err, name)
	}
	if depth == deepest {
		return r.raise(dir, name)
	}
	fd, err := enter(dir, name)
	if err != nil {
		return named(err, name)
	}
	if err := r.empty(fd, depth+1); err != nil {
		return err
	}
	return named(unix.Unlinkat(dir, name, unix.AT_REMOVEDIR), name)
}

// raise moves a directory to the top, under a name that nothing there has.
func (r *removal) raise(dir int, name string) error {
	for range names {
		r.moved++
		err := unix.Renameat2(dir, name, r.top, "..deep-"+strconv.Itoa(r.moved), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return named(err, name)
		}
	}
	return named(unix.EEXIST, name)
}

func named(err error, name string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%.255q: %w", name, err)
}

package evict

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
)

// errTooMuch is a tree that is too deep to be measured.
var errTooMuch = errors.New("too deep to be measured")

// batch is how many names of a directory are held at once, however many there are.
const batch = 512

type inode struct{ dev, ino uint64 }

// walk measures one tree. Every directory is opened in its parent, so that no path can be too long, no link leads
// out, and nothing that is renamed meanwhile leads astray.
type walk struct {
	ctx   context.Context
	dev   uint64
	total int64
	seen  map[inode]bool // files with several names
}

// Usage is what a directory takes on its disk, as du counts: blocks, each file once however many names it has, and
// nothing of other file systems below it. A file is measured too.
func Usage(ctx context.Context, dir string) (int64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) {
		var st unix.Stat_t
		err = unix.Lstat(dir, &st)
		return st.Blocks * 512, err
	}
	if err != nil {
		return 0, fmt.Errorf("opening %s: %w", dir, err)
	}
	w := &walk{ctx: ctx, seen: map[inode]bool{}}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return 0, err
	}
	w.dev = uint64(st.Dev)
	w.count(&st)
	err = w.directory(fd, 0)
	return w.total, err
}

// directory counts what is in the open directory, which it closes.
func (w *walk) directory(fd, depth int) error {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	if depth > bounds.PathElements {
		return errTooMuch
	}
	for {
		names, err := f.Readdirnames(batch)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return gone(err)
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		for _, name := range names {
			if err := w.entry(fd, name, depth); err != nil {
				return err
			}
		}
	}
}

func (w *walk) entry(dir int, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return gone(err)
	}
	if uint64(st.Dev) != w.dev {
		return nil
	}
	w.count(&st)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(err)
	}
	return w.directory(fd, depth+1)
}

func (w *walk) count(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		at := inode{uint64(st.Dev), st.Ino}
		if w.seen[at] {
			return
		}
		if len(w.seen) < bounds.Links { // beyond, every name counts
			w.seen[at] = true
		}
	}
	w.total += st.Blocks * 512
}

// gone is nil for what was removed, or became something else, while we walk.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}

package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ID tells namespaces apart.
type ID struct{ Dev, Ino uint64 }

func idOf(st fs.FileInfo) ID {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}
	}
	return ID{uint64(s.Dev), s.Ino}
}

// Lookup says which namespace a path names; mounted is false for a file that is there
// but names none: the runtime was killed before it mounted a namespace, or after it
// unmounted it. since differs once the file is made or mounted anew.
func Lookup(path string) (id ID, mounted bool, since string, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return ID{}, false, "", fmt.Errorf("looking at %s: %w", path, err)
	}
	var where unix.Statfs_t
	if err := unix.Statfs(path, &where); err != nil {
		return ID{}, false, "", fmt.Errorf("looking at %s: %w", path, err)
	}
	id, mounted = idOf(st), where.Type == unix.NSFS_MAGIC
	since = fmt.Sprintf("%d:%d", id.Dev, id.Ino)
	if !mounted {
		since += fmt.Sprintf(" %d", st.ModTime().UnixNano())
	}
	return id, mounted, since, nil
}

// Used returns the namespaces that processes live in.
func Used() (map[ID]bool, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	out := map[ID]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if st, err := os.Stat("/proc/" + e.Name() + "/ns/net"); err == nil { // it may have ended
			out[idOf(st)] = true
		}
	}
	return out, nil
}

// Remove unmounts what is on a file and removes the file; it is no error if there is
// nothing.
func Remove(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing namespace: %w", err)
	}
	return nil
}

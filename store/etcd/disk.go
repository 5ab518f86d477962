package etcd

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// statfs is what the file system of path has left for this user.
func statfs(path string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return room{}, fmt.Errorf("looking at the file system of %s: %w", path, err)
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 { // may use what is kept for root
		blocks = st.Bfree
	}
	r := room{free: blocks * uint64(st.Bsize), total: st.Blocks * uint64(st.Bsize), inodes: st.Ffree}
	if st.Files == 0 {
		r.inodes = math.MaxUint64
	}
	return r, nil
}

var errNoReserve = errors.New("the file system cannot set room aside")

// keepReserve makes a file of size that really takes its room.
func keepReserve(path string, size int64) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() >= size {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, 0, size)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path) // half a reserve would pass for a whole one
	}
	return err
}

// dropReserve gives the reserve's room back; true if there was one.
func dropReserve(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	return os.Remove(path) == nil
}

// extend takes room for a file ahead of its end, without making it longer.
func extend(path string, ahead int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return allocate(f, unix.FALLOC_FL_KEEP_SIZE, info.Size()+ahead)
}

func allocate(f *os.File, mode uint32, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), mode, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return errNoReserve
		}
		return err
	}
}

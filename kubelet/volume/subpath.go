package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume/mount"
)

// BindSubPath binds what lies at sub inside root to target. The path is opened by the kernel with no way out of
// root, whatever links a container put there, and bound by its descriptor. A directory that is missing is made.
func BindSubPath(root, sub, target string) error {
	fd, err := openBeneath(root, sub)
	if errors.Is(err, unix.ENOENT) {
		if err = mkdirBeneath(root, sub); err == nil {
			fd, err = openBeneath(root, sub)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := placeholder(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	return mount.Bind("/proc/self/fd/"+strconv.Itoa(fd), target)
}

func openBeneath(root, sub string) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening volume: %w", err)
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, sub, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return -1, fmt.Errorf("opening %q in volume: %w", sub, err)
	}
	return fd, nil
}

// mkdirBeneath makes the missing part of sub, one element at a time from the deepest that is there.
func mkdirBeneath(root, sub string) error {
	parent, name := filepath.Split(filepath.Clean(sub))
	parent = filepath.Clean(parent)
	fd, err := openBeneath(root, parent)
	if errors.Is(err, unix.ENOENT) {
		if err := mkdirBeneath(root, parent); err != nil {
			return err
		}
		fd, err = openBeneath(root, parent)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := unix.Mkdirat(fd, name, st.Mode&0o7777); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("making %q in volume: %w", sub, err)
	}
	return unix.Fchownat(fd, name, -1, int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
}

// placeholder makes what a bind mount is put on; an earlier mount there is undone.
func placeholder(target string, dir bool) error {
	if ok, err := mount.IsPoint(target); err != nil {
		return err
	} else if ok {
		if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting old subPath: %w", err)
		}
	}
	if dir {
		return os.MkdirAll(target, 0o750)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

// AlwaysReadOnly tells whether containers get a volume read-only whatever they ask for.
func AlwaysReadOnly(pod *v1.Pod, name string) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Name == name {
			return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil
		}
	}
	return false
}

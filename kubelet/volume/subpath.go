package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
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

// ReleaseSubPaths undoes what BindSubPath did, once containers have what they mount: theirs are mounts of their own. Every
// container that starts takes all mounts of the node with it into its namespace, so that each that stays costs all pods.
// What cannot be undone now goes with the pod's directory.
func ReleaseSubPaths(targets []string) {
	for _, target := range targets {
		_ = unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
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

// mkdirBeneath makes what is missing of sub, element by element from the root down. The root itself must be there:
// it is the volume's own. Links inside the volume are followed by the kernel, and never out of it.
func mkdirBeneath(root, sub string) error {
	parts := strings.Split(filepath.Clean(sub), "/")
	if len(sub) > bounds.Path || len(parts) > bounds.PathElements {
		return fmt.Errorf("subPath %.40q…: more than %d bytes or %d elements", sub, bounds.Path, bounds.PathElements)
	}
	parent, err := openBeneath(root, ".")
	if err != nil {
		return err
	}
	for i, name := range parts {
		next, err := stepBeneath(root, filepath.Join(parts[:i+1]...), parent, name)
		unix.Close(parent)
		if err != nil {
			return err
		}
		parent = next
	}
	return unix.Close(parent)
}

// stepBeneath opens path inside root and makes it, a directory called name in parent, where it is missing.
func stepBeneath(root, path string, parent int, name string) (int, error) {
	fd, err := openBeneath(root, path)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := mkdirLike(parent, name); err != nil {
		return -1, fmt.Errorf("making %q in volume: %w", path, err)
	}
	return openBeneath(root, path)
}

// mkdirLike makes a directory with the mode and group of its parent. What it changes it holds open: a container that
// puts something else under the name meanwhile wins nothing.
func mkdirLike(parent int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(parent, &st); err != nil {
		return err
	}
	if err := unix.Mkdirat(parent, name, 0o700); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return nil // somebody was faster, or a link that leads nowhere: opening it tells
		}
		return err
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fchown(fd, -1, int(st.Gid)); err != nil {
		return err
	}
	return unix.Fchmod(fd, st.Mode&0o7777)
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
	if info, err := os.Lstat(target); err == nil && info.IsDir() != dir {
		if err := os.Remove(target); err != nil { // of an earlier attempt, when sub was of the other sort
			return err
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

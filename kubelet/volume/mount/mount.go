// Package mount makes and undoes the few mounts a kubelet needs: tmpfs, bind, shared propagation.
package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"hyperkube/internal/tree"
)

// Under lists the mount points below dir (and dir itself), deepest first.
func Under(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, fmt.Errorf("reading mounts: %w", err)
	}
	var out []string
	for _, m := range infos {
		if m.Mountpoint == dir || strings.HasPrefix(m.Mountpoint, dir+"/") {
			out = append(out, m.Mountpoint)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out, nil
}

// IsPoint tells whether a mount sits exactly at path.
func IsPoint(path string) (bool, error) {
	ok, err := mountinfo.Mounted(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return ok, err
}

// Tmpfs mounts a memory file system; size 0 is the kernel's default.
func Tmpfs(dir string, size int64, mode os.FileMode) error {
	ok, err := IsPoint(dir)
	if err != nil || ok {
		return err
	}
	opts := fmt.Sprintf("mode=%o", mode.Perm())
	if size > 0 {
		opts += fmt.Sprintf(",size=%d", size)
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RELATIME)
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, opts); err != nil {
		return fmt.Errorf("mounting tmpfs at %s: %w", dir, err)
	}
	return nil
}

// Bind mounts source, which may be /proc/self/fd/N, at target.
func Bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind mounting at %s: %w", target, err)
	}
	return nil
}

// Share makes dir a shared mount of its own, so that mounts made below it reach containers that ask for it.
func Share(dir string) error {
	infos, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(dir))
	if err != nil {
		return fmt.Errorf("reading mounts: %w", err)
	}
	if len(infos) == 0 {
		if err := Bind(dir, dir); err != nil {
			return err
		}
	} else if strings.Contains(infos[0].Optional, "shared:") {
		return nil
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("sharing %s: %w", dir, err)
	}
	return nil
}

// RemoveAll unmounts everything below dir and then removes it. What cannot be unmounted is not removed, nor what is
// mounted meanwhile: another's files may be behind it.
func RemoveAll(dir string) error {
	dir = filepath.Clean(dir)
	points, err := Under(dir)
	if err != nil {
		return err
	}
	for _, p := range points {
		if err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			if derr := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); derr != nil {
				return fmt.Errorf("unmounting %s: %w", p, err)
			}
		}
	}
	if left, err := Under(dir); err != nil || len(left) > 0 {
		return fmt.Errorf("%s still has mounts: %v", dir, errors.Join(err))
	}
	return tree.Remove(dir)
}

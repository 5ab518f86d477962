package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
)

// layered are file systems over which an overlay, which each container's root is, can always
// be mounted. On others that is tried.
var layered = []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC}

// checkDisk wants a file system for the data directory that a cluster can be made on, and
// room for a new one.
func checkDisk(dataDir string) error {
	dir := existing(dataDir)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	_, err := os.Lstat(filepath.Join(dataDir, markerName))
	if err := judgeDisk(dir, st, errors.Is(err, fs.ErrNotExist)); err != nil {
		return err
	}
	if slices.Contains(layered, st.Type) {
		return nil
	}
	if err := tryOverlay(dir); err != nil {
		return fmt.Errorf("%s is on a file system on which no container's can be laid (%w): choose a --data-dir on a disk (ext4, xfs, btrfs); in a container, mount a volume there", dir, err)
	}
	return nil
}

// existing is the part of a path that is there.
func existing(path string) string {
	for path != "/" {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// judgeDisk says what is wrong with a file system; fresh, for a new cluster.
func judgeDisk(dir string, st unix.Statfs_t, fresh bool) error {
	room := st.Bfree * uint64(st.Bsize)
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("%s is on a file system that is mounted read-only: choose another --data-dir, or mount it with `mount -o remount,rw`", dir)
	case st.Flags&unix.ST_NOEXEC != 0:
		return fmt.Errorf("%s is on a file system that is mounted noexec, and programs are run from there: choose another --data-dir, or mount it with `mount -o remount,exec`", dir)
	case fresh && room < bounds.FirstStart:
		return fmt.Errorf("%s has %d MiB left, and a new cluster needs %d: make room there, or choose another --data-dir", dir, room>>20, bounds.FirstStart>>20)
	case fresh && st.Files > 0 && st.Ffree < bounds.FirstFiles:
		return fmt.Errorf("%s has %d inodes left, and a new cluster needs %d: remove files there, or choose another --data-dir", dir, st.Ffree, bounds.FirstFiles)
	}
	return nil
}

// tryOverlay mounts one below dir, and leaves nothing.
func tryOverlay(dir string) (err error) {
	top, err := os.MkdirTemp(dir, "."+markerName+".try-") // no stranger to another start
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	at := func(name string) string { return filepath.Join(top, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", at("lower"), at("upper"), at("work"))
	if err := unix.Mount("overlay", at("merged"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting an overlay: %w", err)
	}
	// What a container does first.
	err = os.Mkdir(filepath.Join(at("merged"), "x"), 0o700)
	return errors.Join(err, unix.Unmount(at("merged"), unix.MNT_DETACH))
}

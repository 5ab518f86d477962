package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hyperkube/internal/regular"
	"hyperkube/runtime"
	"hyperkube/runtime/carried"
)

// The pieces of Reset. Each finds its own leftovers on the host, so that reset
// also cleans up after a process that was killed at any point, and each may be
// repeated.

// killShims ends the shims that serve our containerd socket; killing a shim
// leaves its containers to killCgroup.
func killShims(ctx context.Context, p Paths) error {
	return killAll(ctx, func() (pids []int, err error) {
		shims, err := runtime.HostProcesses(p.PodCgroups(), func(args []string) bool {
			return filepath.Base(args[0]) == carried.Shim && slices.Contains(args, p.Socket)
		})
		for _, s := range shims {
			if runtime.SameFolder(s.PID, filepath.Dir(p.Socket)) {
				pids = append(pids, s.PID)
			}
		}
		return pids, err
	})
}

// shimSockets are where the shims of our containers listen, as containerd noted.
func shimSockets(run string) []string {
	notes, err := filepath.Glob(filepath.Join(run, "containerd", "io.containerd.runtime.v2.task", "*", "*", "bootstrap.json"))
	if err != nil {
		return nil
	}
	var out []string
	for _, n := range notes {
		b, err := regular.ReadFile(n)
		if err != nil {
			continue
		}
		var boot struct{ Address string }
		if json.Unmarshal(b, &boot) != nil {
			continue
		}
		if path, ok := strings.CutPrefix(boot.Address, "unix://"); ok && strings.HasPrefix(path, "/run/containerd/s/") {
			out = append(out, path)
		}
	}
	return out
}

// killCgroup ends every process in the cgroup and below, in all hierarchies.
func killCgroup(ctx context.Context, root string) error {
	return killAll(ctx, func() ([]int, error) {
		var pids []int
		for _, dir := range cgroupDirs(root) {
			err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
				if err != nil || d.Name() != "cgroup.procs" {
					return ignoreGone(err)
				}
				b, err := os.ReadFile(p)
				for _, w := range strings.Fields(string(b)) {
					if pid, err := strconv.Atoi(w); err == nil && pid > 0 {
						pids = append(pids, pid)
					}
				}
				return ignoreGone(err)
			})
			if err != nil {
				return nil, err
			}
		}
		return pids, nil
	})
}

// killAll sends SIGKILL until find finds nobody any more.
func killAll(ctx context.Context, find func() ([]int, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := find()
		if err != nil {
			return fmt.Errorf("looking for processes to end: %w", err)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("ending process %d: %w", pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v do not end: %w", pids, ctx.Err())
		case <-tick.C:
		}
	}
}

// cgroupDirs are the folders of cgroup root in every mounted hierarchy.
func cgroupDirs(root string) []string {
	candidates := []string{filepath.Join("/sys/fs/cgroup", root)}
	entries, err := os.ReadDir("/sys/fs/cgroup")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		candidates = append(candidates, filepath.Join("/sys/fs/cgroup", e.Name(), root))
	}
	return slices.DeleteFunc(candidates, func(d string) bool {
		_, err := os.Stat(d)
		return err != nil
	})
}

// removeCgroups removes the cgroup and all below it, deepest first.
func removeCgroups(ctx context.Context, root string) error {
	for _, top := range cgroupDirs(root) {
		var dirs []string
		err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return ignoreGone(err)
		})
		if err != nil {
			return fmt.Errorf("reading cgroup %s: %w", top, err)
		}
		slices.Reverse(dirs)
		for _, d := range dirs {
			if err := removeCgroup(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeCgroup waits for the kernel to let go of a cgroup whose last process just ended.
func removeCgroup(ctx context.Context, dir string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("removing cgroup %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cgroup %s stays busy: %w", dir, ctx.Err())
		case <-tick.C:
		}
	}
}

// unmountBelow unmounts everything mounted below the folders, last first. What is mounted
// at a folder itself, such as a disk for the data directory, is not ours.
func unmountBelow(dirs ...string) error {
	for range 10 { // mounts may hide mounts
		points, err := mountsBelow(dirs)
		if err != nil {
			return err
		}
		if len(points) == 0 {
			return nil
		}
		for _, p := range points {
			if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("unmounting %s: %w", p, err)
			}
		}
	}
	return fmt.Errorf("mounts below %s keep coming back", strings.Join(dirs, " and "))
}

func mountsBelow(dirs []string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading mounts: %w", err)
	}
	defer f.Close()
	var points []string
	for in := bufio.NewScanner(f); in.Scan(); {
		w := strings.Fields(in.Text())
		if len(w) < 5 {
			continue
		}
		p := unescapeMount(w[4])
		if slices.ContainsFunc(dirs, func(d string) bool { return strings.HasPrefix(p, d+"/") }) {
			points = append(points, p)
		}
	}
	slices.Reverse(points)
	return points, nil
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

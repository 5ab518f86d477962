package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hyperkube/runtime"
)

const resetTimeout = 2 * time.Minute

// Reset stops the cluster of dataDir and removes all it left on this machine:
// processes, mounts, cgroups, interfaces, nftables, files. It finds its things
// by the id of the data directory, so it also works after a kill at any point,
// and may be repeated.
func Reset(ctx context.Context, dataDir string, progress Progress) error {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	if err := checkOurs(dataDir); err != nil {
		return err
	}
	p := PathsOf(dataDir)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"stop the cluster", func() error { _, err := Down(ctx, dataDir); return err }},
		{"stop containerd", func() error { return endByPIDFile(ctx, filepath.Join(p.Run, "containerd.pid"), p.Data) }},
		{"end containers", func() error { return endContainers(ctx, p) }},
		{"remove network", func() error { return resetNetwork(ctx, p) }},
		{"unmount", func() error { return unmountBelow(p.Data, p.Run) }},
		{"remove cgroups", func() error { return removeCgroups(ctx, p.CgroupRoot()) }},
		{"remove files", func() error { return removeFiles(p) }},
	} {
		if err := progress.timed(step.name, step.do); err != nil {
			return fmt.Errorf("%w (run reset again when the cause is gone; it goes on where it stopped)", err)
		}
	}
	return nil
}

func endContainers(ctx context.Context, p Paths) error {
	sockets := shimSockets(p.Run)
	if err := errors.Join(killShims(ctx, p.Socket), killCgroup(ctx, p.CgroupRoot())); err != nil {
		return err
	}
	for _, s := range sockets {
		if err := os.Remove(s); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a shim's socket: %w", err)
		}
	}
	// Where containerd's shims put their sockets cannot be configured; the
	// folders go when no other containerd uses them.
	for _, dir := range []string{"/run/containerd/s", "/run/containerd"} {
		os.Remove(dir)
	}
	return nil
}

// checkOurs refuses folders that no cluster of ours ever lay in.
func checkOurs(dataDir string) error {
	if !filepath.IsAbs(dataDir) || filepath.Clean(dataDir) == "/" {
		return fmt.Errorf("--data-dir %q: want the absolute path of a data directory", dataDir)
	}
	if _, err := os.Stat(dataDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := ReadIdentity(dataDir); err != nil {
		if e := refuseForeign(dataDir); e != nil {
			return e
		}
	}
	return nil
}

func endByPIDFile(ctx context.Context, path, mark string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(cmdline), mark) {
		return nil // another process has the number by now
	}
	return runtime.EndProcess(ctx, pid, 5*time.Second)
}

// removeFiles removes the data directory and our part of /run.
func removeFiles(p Paths) error {
	if err := errors.Join(os.RemoveAll(p.Data), os.RemoveAll(p.Run)); err != nil {
		return err
	}
	os.Remove(filepath.Dir(p.Run)) // only when no other cluster has its own there
	return nil
}

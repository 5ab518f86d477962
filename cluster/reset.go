package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hyperkube/runtime"
)

const resetTimeout = 2 * time.Minute

// Reset stops the cluster of dataDir and removes all it left on this machine:
// processes, mounts, cgroups, interfaces, nftables, files. It finds its things
// by the id of the data directory, so it also works after a kill at any point,
// and may be repeated. Of the data directory it removes what the marker names; what
// others put there stays, and is returned. A folder that is not a cluster's is refused.
func Reset(ctx context.Context, dataDir string, progress Progress) (kept []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	dir, err := ResolveDataDir(dataDir)
	if err != nil {
		return nil, err
	}
	ours, err := checkOurs(dir)
	if err != nil {
		return nil, err
	}
	p := PathsOf(dir)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"stop the cluster", func() error {
			if !ours {
				return nil
			}
			// Held until all is gone, so that nobody starts it meanwhile.
			l, err := stopAndLock(ctx, p)
			if err == nil {
				context.AfterFunc(ctx, func() { l.Close() })
			}
			return err
		}},
		{"stop containerd", func() error { return runtime.EndAll(ctx, p.ContainerdConfig, p.PodCgroups()) }},
		{"end containers", func() error { return endContainers(ctx, p) }},
		{"remove network", func() error { return resetNetwork(ctx, p) }},
		{"unmount", func() error { return unmountBelow(p.Data, p.Run) }},
		{"remove cgroups", func() error { return removeCgroups(ctx, p.CgroupRoot()) }},
		{"remove files", func() (err error) { kept, err = removeFiles(p); return err }},
	} {
		if err := progress.timed(step.name, step.do); err != nil {
			return nil, fmt.Errorf("%w (run reset again when the cause is gone; it goes on where it stopped)", err)
		}
	}
	return kept, nil
}

// stopAndLock ends whoever runs or starts the cluster and takes its lock.
func stopAndLock(ctx context.Context, p Paths) (*os.File, error) {
	for {
		if _, err := Down(ctx, p.Data); err != nil {
			return nil, err
		}
		l, err := lock(p.Lock)
		if !errors.Is(err, ErrRunning) {
			return l, err
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ErrRunning, ctx.Err())
		}
	}
}

func endContainers(ctx context.Context, p Paths) error {
	sockets := shimSockets(p.Run)
	if err := errors.Join(killShims(ctx, p), killCgroup(ctx, p.CgroupRoot())); err != nil {
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

// removeFiles removes our part of /run and of the data directory.
func removeFiles(p Paths) ([]string, error) {
	if err := os.RemoveAll(p.Run); err != nil {
		return nil, err
	}
	if err := instancesOf(p).restore(); err != nil {
		return nil, err
	}
	os.Remove(filepath.Dir(p.Run)) // only when no other cluster has its own there
	return removeMarked(p.Data)
}

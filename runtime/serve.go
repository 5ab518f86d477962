package runtime

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"hyperkube/internal/bounds"
	"hyperkube/internal/logfile"
)

// Serve is the containerd role: it runs containerd with the configuration at
// path in this process until ctx ends. containerd keeps state in its packages,
// so a process serves once; it gets the usual umask, and PATH leads to the programs that the configuration names. With logPath, what it logs goes to that file, which is rotated.
func Serve(ctx context.Context, path, logPath string) error {
	if logPath != "" {
		l, err := logfile.Open(logfile.Options{Path: logPath, MaxBytes: bounds.LogBytes, Keep: bounds.LogsKept, Streams: []int{1, 2}})
		if err != nil {
			return err
		}
		defer l.Close()
		log.L.Logger.SetOutput(l)
	}
	// Containers inherit it: it is not for the shell to choose that a cluster was started from.
	syscall.Umask(0o022)
	cfg := &srvconfig.Config{Version: version.ConfigVersion}
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	err := srvconfig.LoadConfigWithPlugins(ctx, path, func() iter.Seq[plugin.Registration] { return slices.Values(all) }, cfg)
	if err != nil {
		return fmt.Errorf("reading containerd's configuration: %w", err)
	}
	if cfg.Debug.Level != "" {
		if err := log.SetLevel(cfg.Debug.Level); err != nil {
			return fmt.Errorf("containerd's log level: %w", err)
		}
	}
	if err := findable(cfg.Plugins); err != nil {
		return err
	}
	if err := server.CreateTopLevelDirectories(cfg); err != nil {
		return fmt.Errorf("making containerd's directories: %w", err)
	}
	if err := mount.SetTempMountLocation(filepath.Join(cfg.Root, "tmpmounts")); err != nil {
		return fmt.Errorf("making containerd's mount directory: %w", err)
	}
	if _, err := mount.CleanupTempMounts(0); err != nil {
		log.G(ctx).WithError(err).Warn("unmounting what an earlier run left")
	}
	srv, err := server.New(ctx, cfg)
	if err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	if err := srv.Start(ctx); err != nil {
		srv.Stop()
		return fmt.Errorf("starting containerd's sockets: %w", err)
	}
	<-ctx.Done()
	// Stopping politely waits for clients that stay connected. Everything
	// containerd knows is on disk after every call, so it need not be polite.
	stopped := make(chan struct{})
	go func() {
		srv.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(politeness):
	}
	return nil
}

const politeness = 100 * time.Millisecond

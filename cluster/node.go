package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"hyperkube/runtime"
	"hyperkube/runtime/images"
)

// node is the part of the cluster that runs pods: containerd, the product's own
// images, kubelet, network and proxy.
type node struct {
	c       *control
	runtime *runtime.Runtime
	images  chan error // one value when the images are there
}

func newNode(c *control) *node { return &node{c: c, images: make(chan error, 1)} }

// Names of the images that are made from the binary. They can be pulled from nowhere.
const (
	pauseImage     = "hyperkube.local/pause:v1"
	hyperkubeImage = "hyperkube.local/hyperkube:v1"
)

// startRuntime starts containerd and, once it answers, the import of the images,
// which goes on in the background.
func (n *node) startRuntime(ctx context.Context) error {
	c := n.c
	return c.progress.timed("containerd", func() error {
		if err := os.MkdirAll(c.p.Containerd, 0o711); err != nil {
			return fmt.Errorf("making containerd's directory: %w", err)
		}
		var err error
		n.runtime, err = runtime.New(runtime.Options{
			Config: runtime.Config{
				Root: filepath.Join(c.p.Containerd, "root"), State: filepath.Join(c.p.Run, "containerd"), Socket: c.p.Socket,
				CNIConfDir: c.p.CNIConf, PauseImage: pauseImage, RegistryConfigDir: filepath.Join(c.p.Containerd, "certs.d"),
			},
			ConfigPath: filepath.Join(c.p.Containerd, "config.toml"), LibexecDir: c.p.Libexec,
			PIDFile: filepath.Join(c.p.Run, "containerd.pid"), LogFile: filepath.Join(c.p.Data, "log", "containerd.log"),
			Command: []string{"/proc/self/exe", "containerd"}, Env: []string{"GOGC=50"},
			Logger: c.log.With("role", "containerd"),
		})
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		c.roles.wg.Go(func() { ended <- n.runtime.Run(ctx) })
		select {
		case <-n.runtime.Ready():
		case err := <-ended:
			return errors.Join(errors.New("containerd ended"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
		c.roles.wg.Go(func() { n.images <- c.progress.timed("own images", func() error { return n.importImages(ctx) }) })
		return nil
	})
}

func (n *node) importImages(ctx context.Context) error {
	s, err := images.Open(n.c.p.Socket)
	if err != nil {
		return err
	}
	defer s.Close()
	return images.Own{PauseRef: pauseImage, HyperkubeRef: hyperkubeImage, Binary: "/proc/self/exe"}.Ensure(ctx, s)
}

func (n *node) start(ctx context.Context) error {
	return <-n.images
}

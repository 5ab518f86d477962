package steps

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/cri"
)

// logs makes the directory of the container's log files.
func logs(d *Deps) func(context.Context, *Container) error {
	return func(_ context.Context, c *Container) error {
		return os.MkdirAll(filepath.Join(cri.PodLogDir(d.Renderer.LogRoot, c.Pod.API), c.Spec.Name), 0o755)
	}
}

// create makes the container in the pod's sandbox.
func create(d *Deps) func(context.Context, *Container) error {
	return func(ctx context.Context, c *Container) error {
		id, err := d.Client.CreateContainer(ctx, c.Pod.Sandbox.Id, c.config, c.sbox)
		if err != nil {
			return err
		}
		c.ID = id
		c.Tell(v1.EventTypeNormal, "Created", "Container created")
		return nil
	}
}

// start starts the container and links its log where log shippers look for it.
func start(d *Deps) func(context.Context, *Container) error {
	return func(ctx context.Context, c *Container) error {
		if err := d.Client.StartContainer(ctx, c.ID); err != nil {
			return err
		}
		c.Tell(v1.EventTypeNormal, "Started", "Container started")
		if d.ContainerLn == "" {
			return nil
		}
		target := filepath.Join(cri.PodLogDir(d.Renderer.LogRoot, c.Pod.API), cri.ContainerLogPath(c.Spec.Name, c.Attempt))
		if err := os.Symlink(target, LogLink(d.ContainerLn, c.Pod.API, c.Spec.Name, c.ID)); err != nil && !os.IsExist(err) {
			c.Tell(v1.EventTypeWarning, "LogLinkFailed", err.Error())
		}
		return nil
	}
}

// LogLink is the flat link to a container's log.
func LogLink(dir string, pod *v1.Pod, container, id string) string {
	return filepath.Join(dir, fmt.Sprintf("%s_%s_%s-%s.log", pod.Name, pod.Namespace, container, id))
}

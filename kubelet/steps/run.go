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
		dir := filepath.Join(cri.PodLogDir(d.Renderer.LogRoot, c.Pod.API), c.Spec.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return forgetAttempts(dir, c.Attempt)
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

// longestName is how long a file's name may be.
const longestName = 255

// LogLink is the flat link to a container's log. A name that is too long is cut, as published.
func LogLink(dir string, pod *v1.Pod, container, id string) string {
	name := fmt.Sprintf("%s_%s_%s-%s", pod.Name, pod.Namespace, container, id)
	return filepath.Join(dir, name[:min(len(name), longestName-len(".log"))]+".log")
}

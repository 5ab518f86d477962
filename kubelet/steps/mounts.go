package steps

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/volume"
)

// mounts renders what the container sees of the host: its volumes, /etc/hosts and the termination log.
func mounts(d *Deps) func(context.Context, *Container) error {
	return func(ctx context.Context, c *Container) error {
		if n := len(c.Spec.VolumeMounts); n > bounds.PodVolumes {
			return fmt.Errorf("the container has %d volume mounts, more than %d", n, bounds.PodVolumes)
		}
		if n := subPaths(c.Pod.API); n > bounds.SubPaths && subPathsOf(c.Spec) > 0 {
			return fmt.Errorf("the containers of the pod have %d volume mounts with a subPath, more than %d", n, bounds.SubPaths)
		}
		if err := longPaths(c.Spec); err != nil {
			return err
		}
		if n := subPathsOf(c.Spec); n > 0 {
			leave, err := d.places.take(ctx, c.Pod.API.Namespace, n)
			if err != nil {
				return fmt.Errorf("waiting to mount subPaths: %w", err)
			}
			c.leave = leave
		}
		for i, m := range c.Spec.VolumeMounts {
			got, err := volumeMount(d, c, i, m)
			if err != nil {
				return err
			}
			c.input.Mounts = append(c.input.Mounts, got)
		}
		if err := hosts(d, c); err != nil {
			return err
		}
		return terminationLog(d, c)
	}
}

// subPaths counts the mounts of a pod that are each a mount of the node while their container starts.
func subPaths(pod *v1.Pod) (n int) {
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			n += subPathsOf(&list[i])
		}
	}
	return n
}

func subPathsOf(c *v1.Container) (n int) {
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" || m.SubPathExpr != "" {
			n++
		}
	}
	return n
}

func volumeMount(d *Deps, c *Container, index int, m v1.VolumeMount) (*runtimeapi.Mount, error) {
	vol, ok := c.Pod.Volumes[m.Name]
	if !ok {
		return nil, fmt.Errorf("mount cannot be satisfied for container %q: volume %q is not ready", c.Spec.Name, m.Name)
	}
	sub := m.SubPath
	if m.SubPathExpr != "" {
		var err error
		if sub, err = cri.ExpandPath(m.SubPathExpr, c.input.Vars, bounds.Path); err != nil {
			return nil, fmt.Errorf("subPathExpr %q: %w", m.SubPathExpr, err)
		}
	}
	if filepath.IsAbs(sub) || slices.Contains(strings.Split(sub, "/"), "..") {
		return nil, fmt.Errorf("error SubPath %.255q must be a relative path without '..'", sub)
	}
	path := m.MountPath
	if !filepath.IsAbs(path) {
		path = filepath.Join("/", path)
	}
	out := &runtimeapi.Mount{ContainerPath: path}
	if ns := d.Users.Of(c.Pod.API); ns != nil {
		out.UidMappings, out.GidMappings = ns.Uids, ns.Gids
	}
	if vol.Image != "" {
		out.Image, out.ImageSubPath, out.Readonly = &runtimeapi.ImageSpec{Image: vol.Image}, sub, true
		return out, nil
	}
	host := vol.Path
	if sub != "" {
		target := filepath.Join(d.Volumes.PodDir(string(c.Pod.API.UID)), "volume-subpaths", m.Name, c.Spec.Name, strconv.Itoa(index))
		c.bound = append(c.bound, target)
		if err := volume.BindSubPath(host, sub, target); err != nil {
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", m.Name, c.Spec.Name, err)
		}
		host = target
	}
	recursive, err := recursiveReadOnly(d, c, m)
	if err != nil {
		return nil, err
	}
	out.HostPath, out.Readonly = host, m.ReadOnly || volume.AlwaysReadOnly(c.Pod.API, m.Name)
	out.Propagation, out.RecursiveReadOnly = propagation(m.MountPropagation), recursive
	return out, nil
}

// recursiveReadOnly tells whether everything below a mount is read-only too. Where that is demanded and the runtime
// cannot do it, the container does not start.
func recursiveReadOnly(d *Deps, c *Container, m v1.VolumeMount) (bool, error) {
	if !m.ReadOnly || m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == v1.RecursiveReadOnlyDisabled {
		return false, nil
	}
	f := d.features(c.Pod.Sandbox.GetRuntimeHandler()).RecursiveReadOnlyMounts
	able := f != nil && *f
	if !able && *m.RecursiveReadOnly != v1.RecursiveReadOnlyIfPossible {
		return false, fmt.Errorf("failed to resolve recursive read-only mode: volume %q requested recursive read-only mode, but it is not supported by the runtime", m.Name)
	}
	return able, nil
}

func propagation(m *v1.MountPropagationMode) runtimeapi.MountPropagation {
	if m == nil {
		return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
	}
	switch *m {
	case v1.MountPropagationHostToContainer:
		return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	case v1.MountPropagationBidirectional:
		return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
	}
	return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
}

func mountsAt(c *Container, path string) bool {
	return slices.ContainsFunc(c.input.Mounts, func(m *runtimeapi.Mount) bool { return filepath.Clean(m.ContainerPath) == path })
}

// longPaths refuses paths that no kernel takes: a runtime that repeats them in what it says may say too much at once
// to be heard, and hang.
func longPaths(c *v1.Container) error {
	paths := map[string]string{"workingDir": c.WorkingDir, "terminationMessagePath": c.TerminationMessagePath}
	for i, m := range c.VolumeMounts {
		paths[fmt.Sprintf("volumeMounts[%d].mountPath", i)] = m.MountPath
	}
	for _, field := range slices.Sorted(maps.Keys(paths)) {
		if n := len(paths[field]); n > bounds.Path {
			return fmt.Errorf("%s has %d bytes, more than %d", field, n, bounds.Path)
		}
	}
	return nil
}

// HostsFile is the pod's hosts file, which its containers may write.
func HostsFile(m *volume.Manager, pod *v1.Pod) string {
	return filepath.Join(m.PodDir(string(pod.UID)), "etc-hosts")
}

// WordsDir is where the last words of a container lie, a file for each attempt, which it may write.
func WordsDir(m *volume.Manager, pod *v1.Pod, container string) string {
	return filepath.Join(m.PodDir(string(pod.UID)), "containers", container)
}

// hosts writes the pod's hosts file and mounts it, unless the container brings its own.
func hosts(d *Deps, c *Container) error {
	const etcHosts = "/etc/hosts"
	if mountsAt(c, etcHosts) {
		return nil
	}
	var host []byte
	if c.Pod.API.Spec.HostNetwork {
		var err error
		if host, err = os.ReadFile(etcHosts); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	path := HostsFile(d.Volumes, c.Pod.API)
	if _, err := os.Stat(path); err != nil {
		// Written once for each sandbox; containers that run have it mounted.
		if err := os.WriteFile(path, cri.Hosts(c.Pod.API, c.IPs, d.Renderer.DNS.Domain, host), 0o644); err != nil {
			return err
		}
	}
	c.input.Mounts = append(c.input.Mounts, &runtimeapi.Mount{HostPath: path, ContainerPath: etcHosts})
	return nil
}

// terminationLog gives the container a file for its last words.
func terminationLog(d *Deps, c *Container) error {
	path := c.Spec.TerminationMessagePath
	if path == "" || mountsAt(c, filepath.Clean(path)) {
		return nil
	}
	dir := WordsDir(d.Volumes, c.Pod.API, c.Spec.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := forgetAttempts(dir, c.Attempt); err != nil {
		return err
	}
	host := filepath.Join(dir, strconv.Itoa(int(c.Attempt)))
	f, err := os.Create(host)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Chmod(host, 0o666); err != nil { // the container may run as any user
		return err
	}
	c.input.TermLogHost = host
	c.input.Mounts = append(c.input.Mounts, &runtimeapi.Mount{HostPath: host, ContainerPath: path})
	return nil
}

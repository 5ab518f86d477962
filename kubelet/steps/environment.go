package steps

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/volume"
)

// user refuses a container that would run as root against its promise, and one that would look into nothing.
func user(_ context.Context, c *Container) error {
	for i := range c.Pod.API.Spec.EphemeralContainers {
		e := &c.Pod.API.Spec.EphemeralContainers[i]
		if e.Name == c.Spec.Name && e.TargetContainerName != "" && c.Target == "" {
			return fmt.Errorf("unable to find target container %q", e.TargetContainerName)
		}
	}
	c.input = cri.ContainerInput{Attempt: c.Attempt, ImageRef: c.Image.Ref, User: c.Image.User, TargetID: c.Target}
	c.status = withAddresses(c)
	return cri.CheckNonRoot(c.Pod.API, c.Spec, c.Image.User)
}

// withAddresses is the pod as its containers may ask about it.
func withAddresses(c *Container) *v1.Pod {
	pod := *c.Pod.API
	pod.Status.PodIPs, pod.Status.HostIPs, pod.Status.PodIP, pod.Status.HostIP = nil, nil, "", ""
	for i, ip := range c.IPs {
		if i == 0 {
			pod.Status.PodIP = ip
		}
		pod.Status.PodIPs = append(pod.Status.PodIPs, v1.PodIP{IP: ip})
	}
	for i, ip := range c.Pod.HostIPs {
		if i == 0 {
			pod.Status.HostIP = ip
		}
		pod.Status.HostIPs = append(pod.Status.HostIPs, v1.HostIP{IP: ip})
	}
	return &pod
}

// environment renders the container's variables.
func environment(d *Deps) func(context.Context, *Container) error {
	return func(ctx context.Context, c *Container) error {
		ns := c.Pod.API.Namespace
		src := cri.EnvSource{
			ConfigMap: func(name string) (*v1.ConfigMap, error) { return d.Sources.ConfigMap(ctx, ns, name) },
			Secret:    func(name string) (*v1.Secret, error) { return d.Sources.Secret(ctx, ns, name) },
			File: func(name, path string) ([]byte, error) {
				vol, ok := c.Pod.Volumes[name]
				if !ok || vol.Path == "" {
					return nil, fmt.Errorf("volume %q has no files on the node", name)
				}
				return volume.ReadBeneath(vol.Path, path, bounds.EnvFile)
			},
			Services:    d.Services(ns),
			Allocatable: d.Sources.Allocatable(),
		}
		env, vars, err := cri.Env(c.status, c.Spec, src)
		c.input.Env, c.input.Vars = env, vars
		return err
	}
}

// render makes the container's configuration out of all that.
func render(d *Deps) func(context.Context, *Container) error {
	return func(_ context.Context, c *Container) (err error) {
		c.sbox = d.Renderer.Sandbox(c.Pod.API, c.Pod.Sandbox.Metadata.GetAttempt())
		c.config, err = d.Renderer.Container(c.Pod.API, c.Spec, c.input)
		return err
	}
}

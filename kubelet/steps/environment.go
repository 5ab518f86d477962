package steps

import (
	"context"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/cri"
)

// user refuses a container that would run as root against its promise.
func user(_ context.Context, c *Container) error {
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
			ConfigMap:   func(name string) (*v1.ConfigMap, error) { return d.Sources.ConfigMap(ctx, ns, name) },
			Secret:      func(name string) (*v1.Secret, error) { return d.Sources.Secret(ctx, ns, name) },
			Services:    d.Services(ns),
			Allocatable: d.Sources.Allocatable(),
		}
		env, vars, err := cri.Env(c.status, c.Spec, src)
		c.input.Env, c.input.Vars = env, vars
		return err
	}
}

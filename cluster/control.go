package cluster

import (
	"context"
	"fmt"
	"net/netip"

	"k8s.io/client-go/metadata"

	"hyperkube/apiserver/request"
	"hyperkube/controllers"
	"hyperkube/controllers/env"
	"hyperkube/internal/supervise"
	"hyperkube/kit"
	"hyperkube/scheduler"
)

// Identities of the control plane's roles, as their certificates would name them.
const (
	userControllers = "system:kube-controller-manager"
	userScheduler   = "system:kube-scheduler"
)

// startControl starts the controllers and the scheduler. They share informers:
// one watch and one index of each kind for the whole process.
func (c *control) startControl(ctx context.Context) {
	c.shared = kit.NewInformers(c.api.Server.Source(&request.User{Name: userControllers, Groups: []string{request.GroupMasters, request.GroupAuthenticated}}), c.log,
		kit.Failures(failures("shared informers", c.registries.fresh("shared informers"))))
	c.vital(ctx, "shared informers", func() error { return c.shared.Run(ctx) })
	c.roles.Start(ctx, supervise.Role{Name: "controller-manager", Build: c.buildControllers})
	c.roles.Start(ctx, supervise.Role{Name: "scheduler", Build: c.buildScheduler})
}

func (c *control) buildControllers() (func(context.Context) error, error) {
	user := &request.User{Name: userControllers, Groups: []string{request.GroupMasters, request.GroupAuthenticated}}
	kube, err := c.client(user)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(c.api.Server.ClientConfig(user))
	if err != nil {
		return nil, fmt.Errorf("metadata client of the controllers: %w", err)
	}
	pods, err := netip.ParsePrefix(c.o.PodCIDR)
	if err != nil {
		return nil, fmt.Errorf("--pod-cidr: %w", err)
	}
	services, err := netip.ParsePrefix(c.o.ServiceCIDR)
	if err != nil {
		return nil, fmt.Errorf("--service-cidr: %w", err)
	}
	own := c.registries.fresh("controller-manager")
	m, err := controllers.New(controllers.Options{
		Kube: kube, Metadata: meta, Registry: own, Failures: failures("controller-manager", own), Informers: c.shared, InformersRun: true, Log: c.log.With("role", "controller-manager"),
		Config: env.Config{RootCA: c.pki.CA.PEM, ClusterCIDRs: []netip.Prefix{pods}, ServiceCIDRs: []netip.Prefix{services}, AllocateNodeCIDRs: true,
			ServiceAccountToken: c.api.Tokens},
	})
	if err != nil {
		return nil, err
	}
	return m.Run, nil
}

func (c *control) buildScheduler() (func(context.Context) error, error) {
	kube, err := c.client(&request.User{Name: userScheduler, Groups: []string{request.GroupAuthenticated}})
	if err != nil {
		return nil, err
	}
	log := c.log.With("role", "scheduler")
	own := c.registries.fresh("scheduler")
	recorder, events := kit.NewRecorder(kube, "default-scheduler", log, kit.Failures(failures("scheduler", own)))
	return scoped(c.shared, func(mine *kit.Informers) (func(context.Context) error, error) {
		s, err := scheduler.New(scheduler.Options{Kube: kube, Informers: mine, Recorder: recorder, Logger: log, Registry: own})
		if err != nil {
			return nil, err
		}
		return supervise.Together(supervise.Part{Name: "events", Run: events.Run}, supervise.Part{Name: "scheduler", Run: s.Run}), nil
	})
}

// scoped builds a role over shared informers. What it listens to ends with it.
func scoped(all *kit.Informers, build func(mine *kit.Informers) (func(context.Context) error, error)) (func(context.Context) error, error) {
	mine := all.Scope()
	run, err := build(mine)
	if err != nil {
		mine.Close()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer mine.Close()
		return run(ctx)
	}, nil
}

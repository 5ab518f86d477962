package core

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	rules "hyperkube/api/core"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// undo gives back what this write took, unless the write held after all (its
// answer may have been lost).
func (a *allocation) undo(ctx context.Context) {
	if a.dryRun || len(a.ips)+len(a.ports) == 0 {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	ips, ports := a.ips, a.ports
	c, ok := a.env.Collection("", "services")
	if !ok {
		return
	}
	e, err := c.Get(ctx, a.key, store.Freshness{})
	switch {
	case err == nil:
		if live, ok := e.Object.(*corev1.Service); ok {
			ips, ports = without(ips, rules.ServiceIPs(live)), without(ports, rules.ServiceNodePorts(live))
		}
	case !errors.Is(err, store.ErrNotFound):
		return // nobody knows; the repair loop will
	}
	giveBack(ctx, a.env, ips, ports)
	a.ips, a.ports = nil, nil
}

const giveBackTimeout = 10 * time.Second

// detached outlives the request: what was taken is given back even when the
// client has gone.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
}

func giveBack(ctx context.Context, env kind.Env, ips []string, ports []int32) {
	n := env.Network()
	if n == nil {
		return
	}
	for _, ip := range ips {
		n.ReleaseIP(ctx, ip)
	}
	for _, port := range ports {
		n.ReleasePort(ctx, port)
	}
}

func contains[T comparable](list []T, v T) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// without are the elements of list that keep does not hold.
func without[T comparable](list, keep []T) (out []T) {
	for _, v := range list {
		if !contains(keep, v) {
			out = append(out, v)
		}
	}
	return out
}

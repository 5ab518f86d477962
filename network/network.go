// Package network keeps a node's pod network in order.
//
//	own Node's podCIDR ──▶ Plan (pure) ──▶ sysctls, bridge, nftables, routes, CNI configuration
//	                          ▲
//	netlink and nftables notifications: somebody removed or changed something
//
// Nothing is done before the node's podCIDR is known; the CNI configuration is
// written last, so that a container runtime that sees it can make pods at once.
// Pods are joined by the CNI plugin (package cni), which the runtime executes and
// which works without the agent as long as the configuration is there.
//
// Run and Reset work in the network namespace of the thread that calls them.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/dump"
	"hyperkube/internal/nft"
	"hyperkube/kit"
	"hyperkube/network/rules"
)

// Options configure a Network. Informers, NodeName, StateDir and Log are needed.
type Options struct {
	Kube      kubernetes.Interface // not used yet
	Informers *kit.Informers
	NodeName  string

	ClusterCIDRs []netip.Prefix // pods' ranges: traffic to them keeps its source
	PodCIDRs     []netip.Prefix // this node's; empty: taken from its Node
	Bridge       string         // cbr0 when empty
	MTU          int            // 0: that of the link with the default route
	ConfDir      string         // /etc/cni/net.d when empty
	StateDir     string         // addresses, host ports, what sysctls were before
	Table        string         // nftables table; hyperkube when empty
	// Sandboxes are the ids of the pod sandboxes that the runtime knows; without it
	// links alone tell which addresses are in use.
	Sandboxes func(ctx context.Context) (map[string]bool, error)

	Log *slog.Logger
}

// DefaultTable and DefaultBridge are the names used when Options has none.
const (
	DefaultTable   = "hyperkube"
	DefaultBridge  = "cbr0"
	DefaultConfDir = "/etc/cni/net.d"
)

const (
	retryAfter = time.Second
	// settle lets a burst of notifications (a pod's link is five of them) end.
	settle = 20 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.Bridge == "" {
		o.Bridge = DefaultBridge
	}
	if o.ConfDir == "" {
		o.ConfDir = DefaultConfDir
	}
	return o
}

// Network is the node's network agent.
type Network struct {
	o      Options
	nodes  *kit.Informer[*corev1.Node]
	wake   chan struct{}
	ready  chan struct{}
	tables []*table
	leaks  leaks
}

// table is the agent's table in one family.
type table struct {
	kernel  *nft.Kernel
	watcher *nft.Watcher
	foreign atomic.Bool
	have    *nft.Installed
}

// New checks the options.
func New(o Options) (*Network, error) {
	if o.Informers == nil && len(o.PodCIDRs) == 0 || o.NodeName == "" || o.StateDir == "" || o.Log == nil {
		return nil, errors.New("network needs informers, a node name, a state directory and a logger")
	}
	n := &Network{o: o.withDefaults(), wake: make(chan struct{}, 1), ready: make(chan struct{})}
	if o.Informers != nil {
		n.nodes = kit.InformerFor[*corev1.Node](o.Informers, corev1.SchemeGroupVersion.WithResource("nodes"))
		n.nodes.OnChange(kit.Handler[*corev1.Node]{
			Add: func(*corev1.Node, bool) { n.poke() },
			Update: func(old, now *corev1.Node) {
				if nodeNet(old) != nodeNet(now) {
					n.poke()
				}
			},
			Delete: func(*corev1.Node) { n.poke() },
		})
	}
	return n, nil
}

func (n *Network) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Ready is closed when the network has been set up for the first time.
func (n *Network) Ready() <-chan struct{} { return n.ready }

// Run sets the network up once the podCIDR is known and keeps it so until ctx is
// done. What it made stays, so that pods go on.
func (n *Network) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	watching, err := n.watch(ctx)
	if err != nil {
		cancel()
		return err
	}
	defer watching.Wait()
	defer cancel()
	if n.nodes != nil {
		if err := n.nodes.WaitSynced(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	for ctx.Err() == nil {
		wait := n.leaks.next(time.Now())
		if err := n.apply(ctx); err != nil {
			n.o.Log.Error("setting up the pod network failed; trying again", "after", retryAfter, "err", err)
			wait = retryAfter
		}
		n.sleep(ctx, wait)
	}
	return nil
}

// sleep waits for a reason to look again: a change (and for the burst to end), or
// that d has passed; d ≤ 0 is for ever.
func (n *Network) sleep(ctx context.Context, d time.Duration) {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-ctx.Done():
		return
	case <-timeout:
		return
	case <-n.wake:
	}
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	select {
	case <-n.wake:
	default:
	}
}

// apply brings everything to what it should be.
func (n *Network) apply(ctx context.Context) error {
	plan, ok := n.plan()
	if !ok {
		n.o.Log.Debug("waiting for the node's podCIDR", "node", n.o.NodeName)
		return nil
	}
	var mtuErr error
	if plan.Bridge.MTU == 0 {
		plan.Bridge.MTU, mtuErr = uplinkMTU()
	}
	br, err := n.ensureBridge(plan)
	if err == nil {
		err = n.setSysctls(plan)
	}
	if err == nil {
		err = n.ensureRules(plan)
	}
	if err == nil {
		err = n.ensureRoutes(plan)
	}
	if err == nil {
		err = n.freeLeaked(ctx, plan)
	}
	if err == nil {
		err = n.writeConf(plan)
	}
	if err = errors.Join(mtuErr, err); err != nil {
		return err
	}
	select {
	case <-n.ready:
	default:
		n.o.Log.Info("pod network is up", "bridge", br.Attrs().Name, "podCIDRs", fmt.Sprint(plan.Rules.PodCIDRs), "mtu", br.Attrs().MTU)
		close(n.ready)
	}
	return nil
}

// ensureRules makes the nftables tables right.
func (n *Network) ensureRules(plan Plan) error {
	for _, t := range n.tables {
		f := t.kernel.Table().Family
		if t.have == nil || t.foreign.Swap(false) {
			have, err := t.kernel.Read()
			if err != nil {
				return err
			}
			t.have = have
		}
		want := nft.NewDesired(t.kernel.Table())
		if plan.has(f) {
			want.Put("base", rules.Base(f, plan.Rules))
			if err := n.putHostPorts(want, f); err != nil {
				return err
			}
		}
		c := want.PlanAll(t.have)
		if c.Empty() || !plan.has(f) && !t.have.Exists {
			continue
		}
		if err := t.kernel.Apply(c); err != nil {
			t.have = nil
			return err
		}
		t.have.Apply(c, f)
	}
	return nil
}

// uplinkMTU is the MTU of the link with the default route.
func uplinkMTU() (int, error) {
	routes, err := dump.Routes(netlink.FAMILY_V4, nil, 0)
	if err != nil {
		return 0, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
				return link.Attrs().MTU, nil
			}
		}
	}
	return 0, nil
}

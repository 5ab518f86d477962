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
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/dump"
	"hyperkube/internal/nft"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/network/bridge"
	"hyperkube/network/rules"
)

// Options configure a Network. Informers, NodeName, StateDir and Log are needed.
type Options struct {
	Kube      kubernetes.Interface // not used yet
	Informers *kit.Informers
	NodeName  string

	ClusterCIDRs []netip.Prefix // pods' ranges: traffic to them keeps its source
	PodCIDRs     []netip.Prefix // this node's; empty: taken from its Node
	// ServiceCIDRs are the services' ranges. Where the host has no default route it gets one
	// to them, or nothing on it could call a service. May be empty.
	ServiceCIDRs []netip.Prefix
	Bridge       string // cbr0 when empty
	MTU          int    // 0: that of the link with the default route
	ConfDir      string // /etc/cni/net.d when empty
	StateDir     string // attachments, addresses, host ports, what sysctls were before
	NetnsDir     string // where only this node's runtime keeps namespaces; empty: nowhere
	Table        string // nftables table; hyperkube when empty
	// Sandboxes are the ids of the pod sandboxes that the runtime knows; without it
	// links alone tell which addresses are in use.
	Sandboxes func(ctx context.Context) (map[string]bool, error)
	// ReservedPorts are ports of the host's own listeners (API server, kubelet, …), which no
	// pod may have as host ports.
	ReservedPorts []rules.HostPort

	Log     *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// DefaultTable and DefaultBridge are the names used when Options has none.
const (
	DefaultTable   = "hyperkube"
	DefaultBridge  = "cbr0"
	DefaultConfDir = "/etc/cni/net.d"
)

const (
	retryFirst = time.Second
	retryMax   = 30 * time.Second
	// blindPause is how often the CNI configuration is looked at where it cannot be watched.
	blindPause = 10 * time.Second
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
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
	conf   *fsnotify.Watcher
	left   leftovers
	bridge atomic.Int32 // its index, for who listens

	lost      map[string]lostLink  // pods' links that are gone
	repaired  map[string]time.Time // pods' ends of links, when last
	joined    map[string]bool      // pods' links that this agent has joined to the bridge
	healAgain time.Time            // when a repair that was put off may be done
	refused   map[string]bool      // host ports of pods that are the host's own
	far       map[Peer]bool        // nodes that are no neighbours
	blind     bool                 // the CNI configuration is not watched

	twins       string    // other links with the bridge's address
	forward     string    // others' chains that drop what is forwarded
	forwardSeen time.Time // when they were looked at

	guards *nft.Kernel // the table of what pods may send

	lostLinks prometheus.Gauge
	setUp     *trouble.Teller
	sweeping  *trouble.Teller
	watching  *trouble.Teller
	guarding  *trouble.Teller
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
	o = o.withDefaults()
	for what, dir := range map[string]string{"state directory": o.StateDir, "CNI configuration directory": o.ConfDir} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("the %s %q is not an absolute path, which the CNI plugin needs", what, dir)
		}
	}
	if len(o.Bridge) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("bridge %q: a link's name has at most %d characters", o.Bridge, unix.IFNAMSIZ-1)
	}
	n := &Network{o: o, wake: make(chan struct{}, 1), ready: make(chan struct{}), left: newLeftovers(),
		repaired: map[string]time.Time{}, joined: map[string]bool{}, refused: map[string]bool{},
		lostLinks: prometheus.NewGauge(prometheus.GaugeOpts{Name: "hyperkube_network_lost_links", Help: "Links of pods that are gone while the pods hold addresses."})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(n.lostLinks)
	}
	failures := trouble.Metric(o.Metrics)
	n.setUp = trouble.New(o.Log, failures, "setting up the pod network")
	n.sweeping = trouble.New(o.Log, failures, "looking for what pods left behind")
	n.watching = trouble.New(o.Log, failures, "watching the CNI configuration")
	n.guarding = trouble.New(o.Log, failures, "guarding what pods send")
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
	own, fail := context.WithCancelCause(ctx)
	w := &watchers{ctx: own, fail: fail}
	err := n.watch(w)
	if err == nil {
		err = n.loop(own)
	}
	fail(nil)
	w.Wait()
	if err == nil && ctx.Err() == nil {
		err = context.Cause(own)
	}
	return errors.Join(err, n.closeTables())
}

func (n *Network) loop(ctx context.Context) error {
	if n.nodes != nil {
		if err := n.nodes.WaitSynced(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	retry := retryFirst
	for ctx.Err() == nil {
		if err := supervise.Contain("setting up the pod network", n.apply); err != nil {
			n.setUp.Failed(err)
			n.sleep(ctx, retry)
			retry = min(2*retry, retryMax)
			continue
		}
		n.setUp.Well()
		retry = retryFirst
		if n.isReady() {
			if err := supervise.Contain("looking for leftovers", func() error { return n.sweep(ctx) }); err != nil && ctx.Err() == nil {
				n.sweeping.Failed(err)
			} else {
				n.sweeping.Well()
			}
		}
		n.sleep(ctx, n.pause(time.Now()))
	}
	return nil
}

// pause is how long there is nothing to do without an event.
func (n *Network) pause(now time.Time) time.Duration {
	d := n.left.next(now)
	if n.blind {
		d = min(d, blindPause)
	}
	if !n.healAgain.IsZero() {
		d = min(d, max(n.healAgain.Sub(now), time.Millisecond))
	}
	return d
}

func (n *Network) isReady() bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
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
func (n *Network) apply() error {
	plan, ok := n.plan()
	if !ok {
		n.o.Log.Debug("waiting for the node's podCIDR", "node", n.o.NodeName)
		return nil
	}
	var mtuErr error
	if plan.Bridge.MTU == 0 {
		plan.Bridge.MTU, mtuErr = uplinkMTU()
	}
	br, err := bridge.Ensure(plan.Bridge)
	if err == nil {
		n.bridge.Store(int32(br.Attrs().Index))
		err = n.lookForTwins(plan, br)
	}
	var portErr error // of some pods: the others' network is set up all the same
	if err == nil {
		portErr = n.healPorts(br)
		err = n.setSysctls(plan)
	}
	if err == nil {
		err = n.ensureRules(plan)
	}
	if err == nil {
		err = n.ensureRoutes(plan, br)
	}
	if err == nil {
		err = n.writeConf(plan)
	}
	if err = errors.Join(mtuErr, portErr, err); err != nil {
		return err
	}
	n.lookAtForwarding(time.Now())
	if !n.isReady() {
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

// defaultRoutes are the default routes of a family.
func defaultRoutes(family int) ([]netlink.Route, error) {
	routes, err := dump.Routes(family, nil, 0)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	return slices.DeleteFunc(routes, func(r netlink.Route) bool {
		if r.Dst == nil {
			return false
		}
		bits, _ := r.Dst.Mask.Size()
		return bits != 0
	}), nil
}

// uplinkMTU is the MTU of the link with the default route.
func uplinkMTU() (int, error) {
	routes, err := defaultRoutes(netlink.FAMILY_V4)
	if err != nil {
		return 0, err
	}
	for _, r := range routes {
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			return link.Attrs().MTU, nil
		}
	}
	return 0, nil
}

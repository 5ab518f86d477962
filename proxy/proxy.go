// Package proxy makes Services work on a node: connections to a service's addresses
// and ports are sent to one of its endpoints by rules in nftables.
//
//	Services, EndpointSlices (informers)
//	   │ names of services that changed
//	   ▼
//	Resolve ──▶ ServiceRules ──▶ nft.Desired ──difference──▶ one transaction
//	 (pure)       (pure)
//
// How a packet finds its way: the first packet of a connection is looked up by
// destination address, protocol and port in one map, which names the service's chain;
// the chain picks an endpoint at random (or the one that the client had before) and
// rewrites the destination. The cost does not grow with the number of services, and a
// change of one service touches its own chain and elements only. Established
// connections are not looked at again.
//
// The table is the proxy's own; what others change in it is put right within moments.
// A restarted proxy reads the table and sends only what is different.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/nft"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
)

// DefaultTable is the name of the proxy's table.
const DefaultTable = "hyperkube-proxy"

// Options configure a Proxy. Informers, NodeName and Log are needed.
type Options struct {
	Kube      kubernetes.Interface // for events; may be nil
	Informers *kit.Informers
	NodeName  string

	ClusterCIDRs      []netip.Prefix // pods' ranges, of one or both families
	NodePortAddresses []netip.Prefix // empty: all addresses of the node
	ReservedPorts     []HostPort     // of the host's own listeners, besides the proxy's: no service takes them over
	Table             string         // DefaultTable when empty
	MinSyncPeriod     time.Duration  // least time between two changes of the rules

	HealthzAddress string // 0.0.0.0:10256 when empty, "-" for none
	MetricsAddress string // 127.0.0.1:10249 when empty, "-" for none

	Log     *slog.Logger
	Metrics *prometheus.Registry // a new one when nil
}

// Proxy is the service proxy of one node.
type Proxy struct {
	o         Options
	services  *kit.Informer[*corev1.Service]
	slices    *kit.Informer[*discoveryv1.EndpointSlice]
	nodes     *kit.Informer[*corev1.Node]
	tables    []*table
	other     *nft.Kernel // the table of a family that is not served; nil if all are
	changes   *changes
	health    *health
	metrics   *metrics
	stale     *staleFlows
	published published
	servers   []*server
	synced    chan struct{}

	rules func(nft.Family, Config, []Port) *nft.Fragment // ServiceRules
	cut   map[kit.Key]Cut                                // services of which something was left out

	writing, flows, broken *trouble.Teller
}

// New prepares a proxy and takes its ports, so that a port in use is reported at once.
func New(o Options) (*Proxy, error) {
	if o.Informers == nil || o.NodeName == "" || o.Log == nil {
		return nil, errors.New("proxy needs informers, a node name and a logger")
	}
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	failures := trouble.Metric(o.Metrics)
	p := &Proxy{o: o, changes: newChanges(), metrics: newMetrics(o.Metrics), synced: make(chan struct{}), cut: map[kit.Key]Cut{}, rules: ServiceRules,
		health:  newHealth(o.Log, trouble.New(o.Log, failures, "opening health check node ports")),
		writing: trouble.New(o.Log, failures, "changing rules"),
		flows:   trouble.New(o.Log, failures, "cleaning connection tracking"),
		broken:  trouble.New(o.Log, failures, "making the rules of a service")}
	var err error
	if p.stale, err = newStaleFlows(); err != nil {
		return nil, err
	}
	if err := p.listen(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := p.openTables(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.watch()
	return p, nil
}

// openTables opens the tables of the families that are served, with the proxy's own ports
// among those that no service takes over. One that is not served (any more) is removed by
// the first sync.
func (p *Proxy) openTables() error {
	o := p.o
	o.ReservedPorts = append(slices.Clone(o.ReservedPorts), p.ownPorts()...)
	served := families(o.ClusterCIDRs)
	for _, f := range served {
		t, err := newTable(f, o)
		if err != nil {
			return err
		}
		p.tables = append(p.tables, t)
	}
	if slices.Contains(served, nft.IPv6) {
		return nil
	}
	var err error
	p.other, err = nft.Open(nft.Table{Family: nft.IPv6, Name: o.Table})
	return err
}

// families that services can have here: IPv4 always, IPv6 where pods have it.
func families(clusterCIDRs []netip.Prefix) []nft.Family {
	out := []nft.Family{nft.IPv4}
	for _, c := range clusterCIDRs {
		if c.Addr().Is6() {
			return append(out, nft.IPv6)
		}
	}
	return out
}

func (p *Proxy) close() error {
	var errs error
	for _, t := range p.tables {
		errs = errors.Join(errs, t.close())
	}
	for _, s := range p.servers {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = errors.Join(errs, err)
		}
	}
	if p.other != nil {
		errs = errors.Join(errs, p.other.Close())
	}
	p.stale.conn.Close()
	return errs
}

// Synced is closed when the rules have been installed for the first time.
func (p *Proxy) Synced() <-chan struct{} { return p.synced }

// Run keeps the rules right until ctx is done. The rules stay when it returns, so that
// services go on while the proxy is restarted. A Proxy runs once.
func (p *Proxy) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, p.close()) }()
	parts := supervise.NewParts(ctx)
	parts.Lasts("keeping the rules", p.syncLoop)
	parts.Lasts("health check node ports", p.health.run)
	for _, s := range p.servers {
		parts.Lasts("serving health and metrics", s.run)
	}
	for _, t := range p.tables {
		parts.Lasts("listening for changes of the rules", func(ctx context.Context) error {
			return t.watcher.Run(ctx, func() { t.foreign.Store(true); p.changes.wake() })
		})
	}
	return parts.Wait()
}

// Reset removes the proxy's tables.
func Reset(_ context.Context, o Options) error {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	var errs error
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		k, err := nft.Open(nft.Table{Family: f, Name: o.Table})
		if err == nil {
			err = errors.Join(k.Delete(), k.Close())
		}
		if err != nil && !(f == nft.IPv6 && errors.Is(err, os.ErrNotExist)) {
			errs = errors.Join(errs, fmt.Errorf("removing proxy rules: %w", err))
		}
	}
	return errs
}

// Package env is what every controller is made from: clients for writes,
// informers for reads, and the settings of the controller manager. A controller
// package has New(*Env) (Runner, error) and nothing global.
package env

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"hyperkube/kit"
)

// Runner is a controller: Run reconciles until ctx is done and returns when all its
// goroutines have ended.
type Runner interface {
	Run(ctx context.Context) error
}

// Env is given to every controller of a manager.
type Env struct {
	Kube      kubernetes.Interface
	Metadata  metadata.Interface                      // writes to kinds known only by discovery
	Discovery discovery.DiscoveryInterfaceWithContext // which kinds there are
	Informers *kit.Informers
	Events    *kit.Events
	Metrics   *kit.Metrics
	Log       *slog.Logger
	Config    Config
}

// Config are the settings of all controllers. Zero values take the defaults of
// kube-controller-manager, set by WithDefaults.
type Config struct {
	RootCA []byte // PEM, published as kube-root-ca.crt; none is published when empty

	ClusterCIDRs      []netip.Prefix // pods' addresses: one, or one for each family; none: no node gets a podCIDR
	ServiceCIDRs      []netip.Prefix // never given to nodes where the two overlap
	NodeMaskSizeIPv4  int            // 24
	NodeMaskSizeIPv6  int            // 64
	AllocateNodeCIDRs bool           // --allocate-node-cidrs

	NodeMonitorGracePeriod   time.Duration // 50 s without a sign of life: Unknown
	NodeStartupGracePeriod   time.Duration // 60 s for a node that never reported
	NodeMonitorPeriod        time.Duration // 5 s
	NodeEvictionRate         float64       // 0.1 nodes a second and zone
	TerminatedPodGCThreshold int           // 12500; below zero: off
	ServiceAccountToken      TokenSigner   // makes the tokens of legacy secrets; none when nil

	ConcurrentSyncs map[string]int // by controller name; 5 when missing
}

// TokenSigner makes the never-expiring token of a service account secret.
type TokenSigner interface {
	IssueLegacy(namespace, account, uid, secret string) (string, error)
}

// WithDefaults fills what is not set.
func (c Config) WithDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.NodeMaskSizeIPv4 == 0 {
		c.NodeMaskSizeIPv4 = 24
	}
	if c.NodeMaskSizeIPv6 == 0 {
		c.NodeMaskSizeIPv6 = 64
	}
	if c.TerminatedPodGCThreshold == 0 {
		c.TerminatedPodGCThreshold = 12500
	}
	if c.NodeEvictionRate == 0 {
		c.NodeEvictionRate = 0.1
	}
	def(&c.NodeMonitorGracePeriod, 50*time.Second)
	def(&c.NodeStartupGracePeriod, 60*time.Second)
	def(&c.NodeMonitorPeriod, 5*time.Second)
	return c
}

// Controller makes the loop of a controller: its name, workers, logger and metrics come from
// the environment.
func (e *Env) Controller(name string, reconcile kit.Reconcile) *kit.Controller {
	return e.Wide(name, 5, reconcile)
}

// Wide is Controller with another number of workers where none is configured.
func (e *Env) Wide(name string, workers int, reconcile kit.Reconcile) *kit.Controller {
	if n, ok := e.Config.ConcurrentSyncs[name]; ok {
		workers = n
	}
	return kit.NewController(kit.ControllerOptions{
		Name: name, Workers: workers, Reconcile: reconcile, Log: e.Log, Metrics: e.Metrics,
	})
}

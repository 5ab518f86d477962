package cluster

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/metadata"

	"hyperkube/apiserver/tokens"
	"hyperkube/controllers"
	"hyperkube/controllers/env"
	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/kubelet"
	"hyperkube/network"
	"hyperkube/proxy"
	"hyperkube/scheduler"
)

// ControllerManager is the controllers as a process of their own.
type ControllerManager struct {
	Client      Client
	Election    Election
	Port        Port
	Controllers []string // as in --controllers
	Config      env.Config
	Accounts    bool          // each controller works as a service account of its own
	TokenKey    crypto.Signer // signs tokens of legacy secrets; nil: none are made
	Log         *slog.Logger
}

// Run runs the controllers until ctx ends.
func (o ControllerManager) Run(ctx context.Context) error {
	r, err := o.Client.Connect()
	if err != nil {
		return err
	}
	reg := newRegistries()
	own := reg.fresh(o.Client.Agent)
	fails := failures(o.Client.Agent, own)
	lease, err := o.Election.lease(r.Kube, o.Log, fails)
	if err != nil {
		return err
	}
	meta, err := metadata.NewForConfig(r.Config)
	if err != nil {
		return fmt.Errorf("metadata client of the controllers: %w", err)
	}
	if o.TokenKey != nil {
		// The issuer of legacy tokens is fixed; the one here is for other tokens.
		o.Config.ServiceAccountToken, err = tokens.New(tokens.Config{Issuer: "kubernetes/serviceaccount", Key: o.TokenKey})
		if err != nil {
			return fmt.Errorf("--service-account-private-key-file: %w", err)
		}
	}
	co := controllers.Options{
		Kube: r.Kube, Metadata: meta, Registry: own, Informers: kit.NewInformers(r.Source, o.Log, kit.Failures(fails)), Failures: fails, Log: o.Log,
		Controllers: o.Controllers, Lease: lease, Config: o.Config,
	}
	if o.Accounts {
		co.As = r.As
	}
	m, err := controllers.New(co)
	if err != nil {
		return err
	}
	port, err := o.Port.open(r.Kube, reg, o.Log)
	if err != nil {
		return err
	}
	return supervise.Together(supervise.Part{Name: "serving", Run: port}, supervise.Part{Name: "controllers", Run: m.Run})(ctx)
}

// Scheduler is the scheduler as a process of its own.
type Scheduler struct {
	Client   Client
	Election Election
	Port     Port
	Names    []string // of the profiles; default-scheduler when empty
	Log      *slog.Logger
}

// Run schedules until ctx ends.
func (o Scheduler) Run(ctx context.Context) error {
	r, err := o.Client.Connect()
	if err != nil {
		return err
	}
	reg := newRegistries()
	// The lease outlives the terms, each of which has a registry of its own.
	lease, err := o.Election.lease(r.Kube, o.Log, failures(o.Client.Agent+" lease", reg.fresh(o.Client.Agent+" lease")))
	if err != nil {
		return err
	}
	port, err := o.Port.open(r.Kube, reg, o.Log)
	if err != nil {
		return err
	}
	// All is made anew for each term: while parked, nothing is watched.
	term := func(ctx context.Context) error { return o.term(ctx, r, reg) }
	work := term
	if lease != nil {
		work = func(ctx context.Context) error { return kit.Lead(ctx, *lease, term) }
	}
	return supervise.Together(supervise.Part{Name: "serving", Run: port}, supervise.Part{Name: "scheduler", Run: work})(ctx)
}

func (o Scheduler) term(ctx context.Context, r *Remote, reg *registries) error {
	own := reg.fresh(o.Client.Agent)
	fails := kit.Failures(failures(o.Client.Agent, own))
	so := scheduler.Options{Kube: r.Kube, Informers: kit.NewInformers(r.Source, o.Log, fails), Logger: o.Log, Registry: own}
	for _, name := range o.Names {
		so.Profiles = append(so.Profiles, scheduler.Profile{Name: name})
	}
	component := "default-scheduler"
	if len(o.Names) == 1 {
		component = o.Names[0]
	}
	var events *kit.Events
	so.Recorder, events = kit.NewRecorder(r.Kube, component, o.Log, fails)
	s, err := scheduler.New(so)
	if err != nil {
		return err
	}
	return supervise.Together(supervise.Part{Name: "informers", Run: so.Informers.Run}, supervise.Part{Name: "events", Run: events.Run}, supervise.Part{Name: "scheduler", Run: s.Run})(ctx)
}

// RunKubelet runs a kubelet whose API server is elsewhere; client and informers
// of its options are made here. /healthz is served at the address healthz,
// which may be empty.
func RunKubelet(ctx context.Context, c Client, healthz string, o kubelet.Options) error {
	r, err := c.Connect()
	if err != nil {
		return err
	}
	if o.Registry == nil {
		o.Registry = ProcessRegistry()
	}
	o.Kube, o.Informers = r.Kube, kit.NewInformers(r.Source, o.Log, kit.Failures(trouble.Metric(o.Registry)))
	k, err := kubelet.New(o)
	if err != nil {
		return err
	}
	answer, err := health(healthz)
	if err != nil {
		return err
	}
	return supervise.Together(supervise.Part{Name: "health", Run: answer}, supervise.Part{Name: "informers", Run: o.Informers.Run}, supervise.Part{Name: "kubelet", Run: k.Run})(ctx)
}

// RunProxy is RunKubelet for the service proxy.
func RunProxy(ctx context.Context, c Client, o proxy.Options) error {
	r, err := c.Connect()
	if err != nil {
		return err
	}
	if o.Metrics == nil {
		o.Metrics = ProcessRegistry()
	}
	o.Kube, o.Informers = r.Kube, kit.NewInformers(r.Source, o.Log, kit.Failures(trouble.Metric(o.Metrics)))
	p, err := proxy.New(o)
	if err != nil {
		return err
	}
	return supervise.Together(supervise.Part{Name: "informers", Run: o.Informers.Run}, supervise.Part{Name: "proxy", Run: p.Run})(ctx)
}

// RunNetwork is RunKubelet for the pod network. endpoint is the runtime's CRI
// socket, which knows whose addresses are still in use; it may be empty.
func RunNetwork(ctx context.Context, c Client, endpoint string, o network.Options) error {
	r, err := c.Connect()
	if err != nil {
		return err
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	o.Kube, o.Informers = r.Kube, kit.NewInformers(r.Source, o.Log, kit.Failures(trouble.Metric(o.Metrics)))
	if endpoint != "" {
		socket := strings.TrimPrefix(endpoint, "unix://")
		o.Sandboxes = func(ctx context.Context) (map[string]bool, error) { return sandboxesOf(ctx, socket) }
	}
	n, err := network.New(o)
	if err != nil {
		return err
	}
	return supervise.Together(supervise.Part{Name: "informers", Run: o.Informers.Run}, supervise.Part{Name: "network", Run: n.Run})(ctx)
}

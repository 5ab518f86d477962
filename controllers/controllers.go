// Package controllers is the controller manager: the list of controllers, which of
// them run, and what they share.
//
//	Manager.Run ─▶ (lease, when there are several servers) ─▶ informers
//	                                                       ─▶ events
//	                                                       ─▶ each controller's loop
//
// A controller that ends, or panics, is made anew and started again with growing pauses, told in
// the log and counted; the others go on.
//
// Each controller is a folder with a reconcile function, a pure planner and its
// scenarios; all.go is the one list.
package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"hyperkube/controllers/env"
	"hyperkube/internal/supervise"
	"hyperkube/kit"
)

// Options make a Manager. Kube, Informers and Log are needed.
type Options struct {
	Kube kubernetes.Interface
	// Metadata and Discovery reach kinds that are only known at run time. The namespace and
	// garbage collector controllers need both.
	Metadata  metadata.Interface
	Discovery discovery.DiscoveryInterfaceWithContext
	// As, when set, makes the clients with which a controller writes: those of its service account.
	As func(account string) (kubernetes.Interface, metadata.Interface, error)
	// Informers are read from. The Manager runs them unless InformersRun says that somebody else
	// of the process does.
	Informers    *kit.Informers
	InformersRun bool

	Log      *slog.Logger
	Registry prometheus.Registerer  // may be nil
	Failures *prometheus.CounterVec // the role's trouble.Metric; may be nil

	// Controllers says which run, like --controllers: names, "-name" for not this one, "*" for all that
	// are on by default. Empty means "*".
	Controllers []string
	// Lease, when set, is held while the controllers run.
	Lease *kit.Lease

	Config env.Config
}

// Manager runs controllers.
type Manager struct {
	o       Options
	chosen  []Descriptor
	metrics *kit.Metrics
	group   *supervise.Group
}

// New checks the options. Nothing runs, and nothing is asked of the API server, before Run.
func New(o Options) (*Manager, error) {
	if o.Kube == nil || o.Informers == nil || o.Log == nil {
		return nil, errors.New("controllers need a client, informers and a logger")
	}
	chosen, err := choose(All(), o.Controllers)
	if err != nil {
		return nil, err
	}
	return newManager(o, chosen), nil
}

func newManager(o Options, chosen []Descriptor) *Manager {
	o.Config = o.Config.WithDefaults()
	if o.Discovery == nil {
		o.Discovery = discovery.ToDiscoveryInterfaceWithContext(o.Kube.Discovery())
	}
	var registry prometheus.Registerer
	if o.Registry != nil {
		registry = latest{o.Registry}
	}
	return &Manager{o: o, chosen: chosen, metrics: kit.NewMetrics(o.Registry),
		group: supervise.New(supervise.Options{Log: o.Log, Registry: registry})}
}

// latest registers in place of what an earlier manager on the same registry left: a role that is
// started again makes a new one.
type latest struct{ prometheus.Registerer }

// MustRegister implements prometheus.Registerer.
func (l latest) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		l.Unregister(c) // by its descriptors
		l.Registerer.MustRegister(c)
	}
}

// choose applies a --controllers list.
func choose(all []Descriptor, names []string) ([]Descriptor, error) {
	if len(names) == 0 {
		names = []string{"*"}
	}
	for _, n := range names {
		bare := strings.TrimPrefix(n, "-")
		if n != "*" && !slices.ContainsFunc(all, func(d Descriptor) bool { return d.Name == bare }) {
			return nil, fmt.Errorf("there is no controller named %q", bare)
		}
	}
	var out []Descriptor
	for _, d := range all {
		switch {
		case slices.Contains(names, "-"+d.Name):
		case slices.Contains(names, d.Name), !d.Off && slices.Contains(names, "*"):
			out = append(out, d)
		}
	}
	return out, nil
}

// Run runs the controllers until ctx is done: at once, or while the lease is held.
func (m *Manager) Run(ctx context.Context) error {
	if m.o.Lease == nil {
		return m.term(ctx, m.o.Informers, !m.o.InformersRun)
	}
	l := *m.o.Lease
	return kit.Lead(ctx, l, func(ctx context.Context) error {
		// Informers of its own for each term: while parked, nothing is watched.
		return m.term(ctx, m.o.Informers.Again(), true)
	})
}

// term makes the controllers and runs them until ctx is done. What no start would cure, a setting
// that makes no sense, ends it at once.
func (m *Manager) term(ctx context.Context, informers *kit.Informers, run bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e := &env.Env{
		Kube: m.o.Kube, Metadata: m.o.Metadata, Discovery: m.o.Discovery, Informers: informers,
		Events: kit.NewEvents(m.o.Kube, m.o.Log, kit.Failures(m.o.Failures)), Metrics: m.metrics, Log: m.o.Log, Config: m.o.Config,
	}
	roles := []supervise.Role{{Name: "events", Build: func() (func(context.Context) error, error) { return e.Events.Run, nil }}}
	for _, d := range m.chosen {
		r, err := m.role(e, d)
		if err != nil {
			return err
		}
		roles = append(roles, r)
	}
	for _, r := range roles {
		m.group.Start(ctx, r)
	}
	var broken error
	if run {
		m.group.Go("informers", func() {
			defer cancel() // without them nothing else is of use
			broken = informers.Run(ctx)
		})
	}
	<-ctx.Done()
	m.group.Wait()
	return broken
}

// role is a controller to be run: made now, to see that it can be, and made anew for each further
// start, with handlers that go when it ends.
func (m *Manager) role(e *env.Env, d Descriptor) (supervise.Role, error) {
	build := func() (func(context.Context) error, error) {
		own, err := m.as(e, d)
		if err != nil {
			return nil, err
		}
		own.Informers = e.Informers.Scope() // other controllers, and roles, go on with them
		r, err := d.New(own)
		if err != nil {
			own.Informers.Close()
			return nil, err
		}
		return func(ctx context.Context) error {
			defer own.Informers.Close()
			return r.Run(ctx)
		}, nil
	}
	first, err := build()
	if err != nil {
		return supervise.Role{}, fmt.Errorf("%s: %w", d.Name, err)
	}
	return supervise.Role{Name: d.Name, Build: func() (func(context.Context) error, error) {
		if r := first; r != nil {
			first = nil
			return r, nil
		}
		return build()
	}}, nil
}

// as is the environment of one controller: with clients of its own where they are asked for.
func (m *Manager) as(e *env.Env, d Descriptor) (*env.Env, error) {
	own := *e
	if m.o.As == nil || d.Account == Manages {
		return &own, nil
	}
	var err error
	own.Kube, own.Metadata, err = m.o.As(cmp.Or(d.Account, d.Name))
	return &own, err
}

// Package controllers is the controller manager: the list of controllers, which of
// them run, and what they share.
//
//	Manager.Run ─▶ (lease, when there are several servers) ─▶ informers
//	                                                       ─▶ events
//	                                                       ─▶ each controller's loop
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
	Registry prometheus.Registerer // may be nil

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
	o.Config = o.Config.WithDefaults()
	if o.Discovery == nil {
		o.Discovery = discovery.ToDiscoveryInterfaceWithContext(o.Kube.Discovery())
	}
	return &Manager{o: o, chosen: chosen, metrics: kit.NewMetrics(o.Registry)}, nil
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
		return m.term(ctx, kit.NewInformers(m.o.Informers.Source(), m.o.Log), true)
	})
}

// term makes the controllers and runs them.
func (m *Manager) term(ctx context.Context, informers *kit.Informers, run bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	informers = informers.Scope() // other roles may go on with them
	defer informers.Close()
	events := kit.NewEvents(m.o.Kube, m.o.Log)
	e := &env.Env{
		Kube: m.o.Kube, Metadata: m.o.Metadata, Discovery: m.o.Discovery, Informers: informers,
		Events: events, Metrics: m.metrics, Log: m.o.Log, Config: m.o.Config,
	}
	runners := env.Group{events}
	if run {
		runners = append(runners, informers)
	}
	for _, d := range m.chosen {
		own, err := m.as(e, d)
		if err != nil {
			return err
		}
		r, err := d.New(own)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		runners = append(runners, r)
	}
	return runners.Run(ctx)
}

// as is the environment of one controller: with clients of its own where they are asked for.
func (m *Manager) as(e *env.Env, d Descriptor) (*env.Env, error) {
	if m.o.As == nil || d.Account == Manages {
		return e, nil
	}
	own := *e
	var err error
	own.Kube, own.Metadata, err = m.o.As(cmp.Or(d.Account, d.Name))
	return &own, err
}

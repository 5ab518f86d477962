package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/nft"
	"hyperkube/kit"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMax   = 10 * time.Second
	// reread is the least time between two readings of the whole table, should
	// somebody else change it again and again.
	reread    = 50 * time.Millisecond
	baseOwner = "" // sorts before every service
)

// table is the state of one family's table.
type table struct {
	family  nft.Family
	config  Config
	kernel  *nft.Kernel
	watcher *nft.Watcher
	want    *nft.Desired
	have    *nft.Installed // nil: must be read
	foreign atomic.Bool    // somebody else changed it
}

func newTable(f nft.Family, o Options) (*table, error) {
	name := nft.Table{Family: f, Name: o.Table}
	k, err := nft.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening nftables: %w", err)
	}
	w, err := k.NewWatcher()
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	t := &table{family: f, kernel: k, watcher: w, want: nft.NewDesired(name), config: Config{ClusterCIDRs: o.ClusterCIDRs, NodePortNets: o.NodePortAddresses}}
	t.want.Put(baseOwner, BaseRules(f, t.config))
	return t, nil
}

func (t *table) close() error {
	err := t.watcher.Close()
	if errors.Is(err, os.ErrClosed) { // it ran
		err = nil
	}
	return errors.Join(err, t.kernel.Close())
}

// apply makes the kernel's table what it should be.
func (t *table) apply() error {
	plan := t.want.Plan
	if t.foreign.Swap(false) || t.have == nil {
		have, err := t.kernel.Read()
		if err != nil {
			t.have = nil
			return err
		}
		t.have, plan = have, t.want.PlanAll
	}
	c := plan(t.have)
	if c.Empty() {
		t.want.Clean()
		return nil
	}
	if err := t.kernel.Apply(c); err != nil {
		t.have = nil
		return err
	}
	t.have.Apply(c, t.family)
	t.want.Clean()
	return nil
}

// syncLoop is the one goroutine that changes rules.
func (p *Proxy) syncLoop(ctx context.Context) error {
	for _, wait := range []func(context.Context) error{p.services.WaitSynced, p.slices.WaitSynced, p.nodes.WaitSynced} {
		if err := wait(ctx); err != nil {
			return err
		}
	}
	p.changeAll()
	retry := retryFirst
	for {
		wait := p.o.MinSyncPeriod
		if p.disturbed() {
			wait = max(wait, reread)
		}
		err := p.sync(ctx)
		if err != nil {
			p.o.Log.Error("changing rules failed; trying again", "after", retry, "err", err)
			p.changes.wake()
			wait, retry = retry, min(2*retry, retryMax)
		} else {
			retry = retryFirst
		}
		if !pause(ctx, wait) {
			return nil
		}
		select {
		case <-p.changes.bell:
		case <-ctx.Done():
			return nil
		}
	}
}

// disturbed reports whether somebody else changed a table.
func (p *Proxy) disturbed() bool {
	for _, t := range p.tables {
		if t.foreign.Load() {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sync looks at what changed and brings the kernel up to date.
func (p *Proxy) sync(ctx context.Context) error {
	start := time.Now()
	keys, triggers := p.changes.take()
	here := p.here()
	for k := range keys {
		p.resolve(k, here)
	}
	var errs error
	for _, t := range p.tables {
		errs = errors.Join(errs, t.apply())
	}
	p.metrics.synced(start, triggers, len(keys), errs)
	if errs != nil {
		return errs
	}
	p.published.apply(p.health)
	p.health.healthy(start)
	select {
	case <-p.synced:
	default:
		p.o.Log.Info("service rules installed", "services", len(keys), "took", time.Since(start).Round(time.Millisecond))
		close(p.synced)
	}
	if err := p.stale.clean(ctx); err != nil { // rules are right all the same
		p.o.Log.Warn("cleaning connection tracking failed", "err", err)
	}
	return nil
}

func (p *Proxy) here() Here {
	h := Here{Node: p.o.NodeName}
	if n, ok := p.nodes.Get("", p.o.NodeName); ok {
		h.Zone = n.Labels[corev1.LabelTopologyZone]
	}
	return h
}

// resolve computes one service anew.
func (p *Proxy) resolve(k kit.Key, here Here) {
	svc, _ := p.services.Get(k.Namespace, k.Name)
	slices := p.slices.ByIndex(bySliceOwner, k.String())
	var all []Port
	for _, t := range p.tables {
		ports := Resolve(t.family, svc, slices, here)
		all = append(all, ports...)
		f := ServiceRules(t.family, t.config, ports)
		if f != nil || t.want.Owns(k.String()) {
			t.want.Put(k.String(), f)
		}
	}
	p.stale.update(k, all)
	p.published.update(k, svc, all)
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"hyperkube/internal/nft"
	"hyperkube/internal/supervise"
	"hyperkube/kit"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMax   = 10 * time.Second
	// cleanFirst and cleanMax are between two attempts to clean connection tracking, all of
	// which is read for it.
	cleanFirst = time.Second
	cleanMax   = time.Minute
	// reread is the least time between two readings of the whole table, should
	// somebody else change it again and again.
	reread     = 50 * time.Millisecond
	baseOwner  = ""      // sorts before every service
	nodesOwner = "nodes" // no name of a service
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
	t := &table{family: f, kernel: k, watcher: w, want: nft.NewDesired(name), config: Config{ClusterCIDRs: o.ClusterCIDRs, NodePortNets: o.NodePortAddresses, Reserved: o.ReservedPorts}}
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
	tries := supervise.Tries{Growth: supervise.Growth{First: retryFirst, Most: retryMax}}
	cleaning := supervise.Tries{Growth: supervise.Growth{First: cleanFirst, Most: cleanMax}}
	for {
		wait := p.o.MinSyncPeriod
		if p.disturbed() {
			wait = max(wait, reread)
		}
		err := p.sync(ctx)
		if err != nil {
			p.writing.Failed(err)
			p.changes.wake()
			wait = tries.Next()
		} else {
			p.writing.Well()
			tries.Well()
		}
		if !supervise.Pause(ctx, wait) {
			return nil
		}
		again, stop := p.cleanTimer(&cleaning)
		select {
		case <-p.changes.bell:
		case <-again:
		case <-ctx.Done():
			stop()
			return nil
		}
		stop()
	}
}

// cleanTimer says when flows are cleaned again that could not be, though nothing changes; a
// client that does not pause would be sent to an endpoint that is gone for ever.
func (p *Proxy) cleanTimer(tries *supervise.Tries) (<-chan time.Time, func()) {
	if !p.stale.left() {
		tries.Well()
		return nil, func() {}
	}
	t := time.NewTimer(tries.Next())
	return t.C, func() { t.Stop() }
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

// sync looks at what changed and brings the kernel up to date.
func (p *Proxy) sync(ctx context.Context) error {
	start := time.Now()
	keys, nodes, triggers := p.changes.take()
	if nodes || keys[apiService] {
		p.reserveNodes()
	}
	here := p.here()
	for k := range keys {
		// What is wrong with one service must not keep the others from being served.
		if err := supervise.Contain("rules of "+k.String(), func() error { p.resolve(k, here); return nil }); err != nil {
			p.broken.Failed(err, "service", k.String())
		}
	}
	errs := p.removeOther()
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
		p.flows.Failed(err)
	} else {
		p.flows.Well()
	}
	return nil
}

// removeOther removes the table of a family that was served before.
func (p *Proxy) removeOther() error {
	if p.other == nil {
		return nil
	}
	err := p.other.Delete()
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) { // the kernel has no such tables
		return err
	}
	err = p.other.Close()
	p.other = nil
	return err
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
		f := p.rules(t.family, t.config, ports)
		if f != nil || t.want.Owns(k.String()) {
			t.want.Put(k.String(), f)
		}
	}
	p.stale.update(k, all)
	p.published.update(k, svc, all)
	p.tellCut(k, all)
}

// tellCut says that something of a service was left out, and how much, when that changed.
func (p *Proxy) tellCut(k kit.Key, ports []Port) {
	var sum Cut
	for i := range ports {
		sum.Backends += ports[i].Cut.Backends
		sum.Fronts += ports[i].Cut.Fronts
		sum.Ranges += ports[i].Cut.Ranges
	}
	if sum == (Cut{}) {
		delete(p.cut, k)
		return
	}
	if p.cut[k] != sum {
		p.o.Log.Warn("a service is larger than a node's rules may be; this was left out", "service", k.String(),
			"endpoints", sum.Backends, "addresses", sum.Fronts, "sourceRanges", sum.Ranges)
	}
	p.cut[k] = sum
}

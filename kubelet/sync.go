package kubelet

import (
	"context"
	"errors"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/kubelet/cgroup"
	"hyperkube/kubelet/static"
)

const (
	reconnectFirst = 50 * time.Millisecond
	reconnectMost  = 5 * time.Second
	safetyRelist   = 10 * time.Minute
)

// reconnects counts the tries to reach the container runtime.
func reconnects() supervise.Tries {
	return supervise.Tries{Growth: supervise.Growth{First: reconnectFirst, Most: reconnectMost}}
}

// watchRuntime keeps the stream of container events, with a list whenever it (re)opens and, for safety, now and then.
// The sources of pods are attached once the first list is in.
func (k *Kubelet) watchRuntime(ctx context.Context) error {
	var (
		attach sync.Once
		wg     sync.WaitGroup
		tries  = reconnects()
		told   = trouble.New(k.o.Log, k.failures, "listening to the container runtime")
	)
	defer wg.Wait()
	for ctx.Err() == nil {
		stream, cancel := context.WithCancel(ctx)
		opened := func() {
			k.goes(&wg, "listing what the runtime has", func() {
				defer cancel() // without a list the stream is of no use
				if !k.relistUntil(stream, func() {
					told.Well()
					attach.Do(func() { k.attach(ctx, &wg) })
				}, told) {
					return
				}
				k.safety(stream)
			})
		}
		began := time.Now()
		err := k.client.Events(stream, opened, k.workers.Event)
		cancel()
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			err = errors.New("the stream ended")
		}
		told.Failed(err)
		k.agent.Poke()
		if time.Since(began) > reconnectMost {
			tries.Well()
		}
		tries.Again(ctx)
	}
	return nil
}

// relistUntil lists what the runtime has until that works; false when the stream has broken.
func (k *Kubelet) relistUntil(ctx context.Context, done func(), told *trouble.Teller) bool {
	tries := reconnects()
	for {
		since := time.Now()
		pods, err := k.client.ListPods(ctx)
		if err == nil {
			k.workers.Relist(pods, since)
			done()
			k.agent.Poke()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		told.Failed(err)
		if !tries.Again(ctx) {
			return false
		}
	}
}

func (k *Kubelet) safety(ctx context.Context) {
	ticker := time.NewTicker(safetyRelist)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			since := time.Now()
			if pods, err := k.client.ListPods(ctx); err == nil {
				k.workers.Relist(pods, since)
			}
		}
	}
}

// attach feeds the workers from the API and the manifests, and takes down what neither claims.
func (k *Kubelet) attach(ctx context.Context, wg *sync.WaitGroup) {
	k.nodes.OnChange(kit.Handler[*v1.Node]{
		Add:    func(n *v1.Node, _ bool) { k.agent.Saw(n) },
		Update: func(_, n *v1.Node) { k.agent.Saw(n) },
		Delete: k.agent.Lost,
	})
	k.goes(wg, "taking in pods", func() {
		// Containers must find their services' addresses in their environment from the first moment.
		if k.services.WaitSynced(ctx) != nil || !k.awaitNode(ctx) {
			return
		}
		mirrors := static.New(k.o.ManifestDir, k.o.NodeName, k.o.Kube, k.workers, k.statuses, k.o.Log, k.failures)
		if err := mirrors.Load(); err != nil {
			k.o.Log.Warn("reading static pods", "dir", k.o.ManifestDir, "err", err)
		}
		synced := k.pods.OnChange(kit.Handler[*v1.Pod]{
			Add:    func(p *v1.Pod, _ bool) { k.contained(p, func() { k.update(nil, p, mirrors) }) },
			Update: func(old, p *v1.Pod) { k.contained(p, func() { k.update(old, p, mirrors) }) },
			Delete: func(p *v1.Pod) { k.contained(p, func() { k.gone(p, mirrors) }) },
		})
		if k.pods.WaitSynced(ctx) != nil || !k.handled(ctx, synced) {
			return
		}
		k.workers.Orphans()
		close(k.ready)
		k.appeared()
		mirrors.Run(ctx, k.o.FileCheck)
	})
}

// appeared tells those who watch what containers do that there may be one more.
func (k *Kubelet) appeared() {
	k.rotator.Poke()
	k.guard.Poke()
}

// awaitNode waits for the Node object, which admission looks at.
func (k *Kubelet) awaitNode(ctx context.Context) bool {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for k.agent.Node() == nil {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// handled waits until the handler has seen every pod of the first list.
func (k *Kubelet) handled(ctx context.Context, synced func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !synced() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// goes runs f beside the others: a panic in it is the kubelet's end, as an error of it, not the process's.
func (k *Kubelet) goes(wg *sync.WaitGroup, name string, f func()) {
	wg.Go(func() {
		if err := supervise.Contain(name, func() error { f(); return nil }); err != nil {
			k.fatal(err)
		}
	})
}

// contained keeps a pod that nobody thought of from ending the kubelet with all the others.
func (k *Kubelet) contained(p *v1.Pod, handle func()) {
	err := supervise.Contain("taking in a pod", func() error { handle(); return nil })
	var panicked *supervise.Panic
	if errors.As(err, &panicked) {
		k.o.Log.Error("taking in a pod", "pod", p.Namespace+"/"+p.Name, "err", err, "stack", string(panicked.Stack))
		k.o.Recorder.Event(p, v1.EventTypeWarning, "FailedSync", "error syncing pod: "+err.Error())
	}
}

// update takes in a pod as the API has it now. old is what was known under its name, if anything: after a list that
// missed a deletion that may be another pod, which is gone.
func (k *Kubelet) update(old, p *v1.Pod, mirrors *static.Source) {
	if old != nil && old.UID != p.UID {
		k.gone(old, mirrors)
	}
	if static.IsMirror(p) {
		k.remove(p) // nothing, but for one that was no mirror when it was taken in
		mirrors.Saw(p)
		return
	}
	if old != nil && static.IsMirror(old) {
		mirrors.Lost(old)
	}
	p = static.FromAPI(p)
	k.objects.Use(p)
	k.workers.Update(p)
	k.share()
}

// remove takes down what runs of a pod that its source does not have any more.
func (k *Kubelet) remove(p *v1.Pod) {
	k.workers.Remove(p.UID)
	k.objects.Forget(p.UID)
	k.share()
}

// share weighs the burstable class by what its pods request, when that has changed. Called by the pods' handler only.
func (k *Kubelet) share() {
	if k.cgroups == nil {
		return
	}
	weight := cgroup.BurstableShares(k.pods.List())
	if weight == k.burstable {
		return
	}
	k.burstable = weight
	if err := k.cgroups.Share(weight); err != nil {
		k.o.Log.Warn("weighing the burstable class", "err", err)
	}
}

func (k *Kubelet) gone(p *v1.Pod, mirrors *static.Source) {
	if static.IsMirror(p) {
		mirrors.Lost(p)
	}
	k.remove(p)
}

// Package evict ends pods that take more of the node's disk than they said they would.
//
//	pods with a limit on an emptyDir ──every ten seconds──▶ Usage of each directory ──over──▶ Evict
//
// While no pod has such a limit nothing is done at all. Directories in memory are not looked at: the kernel holds
// them to their size.
package evict

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"
)

const (
	lookEvery = 10 * time.Second
	// share bounds the part of one CPU that looking may take: a walk of a second is followed by a minute's rest.
	share = 60
)

// Reason is the reason of a pod's status and of the event.
const Reason = "Evicted"

// Guard watches the pods of one node.
type Guard struct {
	// Pods lists the pods that run here.
	Pods func() []*v1.Pod
	// Dir is where an emptyDir volume lies.
	Dir func(pod *v1.Pod, volume string) string
	// Evict ends a pod; it is asked again as long as the pod is listed.
	Evict func(pod *v1.Pod, message string)
	Log   *slog.Logger

	poke chan struct{}
}

// New returns a guard; its fields are set before Run.
func New() *Guard { return &Guard{poke: make(chan struct{}, 1)} }

// Poke tells that Pods may have one more.
func (g *Guard) Poke() {
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	waiting := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.poke:
			if !waiting {
				timer.Reset(lookEvery)
				waiting = true
			}
			continue
		case <-timer.C:
		}
		began := time.Now()
		if waiting = g.look(ctx); waiting {
			timer.Reset(max(lookEvery, share*time.Since(began)))
		}
	}
}

// look measures every limited directory and tells whether there are any.
func (g *Guard) look(ctx context.Context) (any bool) {
	for _, pod := range g.Pods() {
		for name, limit := range Limits(pod) {
			any = true
			used, err := Usage(ctx, g.Dir(pod, name))
			if err != nil {
				g.Log.Debug("measuring a volume", "pod", pod.Namespace+"/"+pod.Name, "volume", name, "err", err)
				continue
			}
			if used > limit.Value() {
				g.Evict(pod, fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", name, limit.String()))
				break
			}
		}
	}
	return any
}

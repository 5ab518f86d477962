// Package evict ends pods that take more of the node's disk than they said they would.
//
//	pods with a limit ──every ten seconds──▶ measure ──Use──▶ Verdict (pure) ──over──▶ Evict
//	  emptyDir sizeLimit                       directories of volumes and logs, containers' writable
//	  ephemeral-storage of containers          layers, their hosts file and last words
//
// While no pod has a limit nothing is done at all. A pod that takes long to be measured rests long, and for itself
// alone. Directories in memory are not looked at: the kernel holds
// them to their size. What cannot be measured because a container made it so counts as too much.
package evict

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/trouble"
)

const (
	lookEvery = 10 * time.Second
	// share bounds the part of one CPU that looking at a pod may take: a walk of a second is followed by a minute's
	// rest of that pod. No rest is longer than longestRest, whatever lies there: who is not looked at has no limit.
	share       = 60
	longestRest = 5 * time.Minute
)

// Reason is the reason of a pod's status and of the event.
const Reason = "Evicted"

// Guard watches the pods of one node.
type Guard struct {
	// Pods lists the pods that run here.
	Pods func() []*v1.Pod
	// Dir is where an emptyDir volume lies.
	Dir func(pod *v1.Pod, volume string) string
	// Logs is where the logs of a container lie.
	Logs func(pod *v1.Pod, container string) string
	// Files are what else of the disk a container of a pod may write; with no container, all containers of it.
	Files func(pod *v1.Pod, container string) []string
	// Layers begins a look at writable layers; the function it returns is what a container of a pod has in its own.
	Layers func(ctx context.Context) func(pod *v1.Pod, container string) (int64, error)
	// Evict ends a pod; it is asked again as long as the pod is listed.
	Evict func(pod *v1.Pod, message string)
	Log   *slog.Logger
	// Failures counts what could not be measured; may be nil.
	Failures *prometheus.CounterVec

	poke   chan struct{}
	teller *trouble.Teller         // of Run's goroutine, as is rests:
	rests  map[types.UID]time.Time // until when a pod is not looked at
}

// New returns a guard; its fields are set before Run.
func New() *Guard { return &Guard{poke: make(chan struct{}, 1), rests: map[types.UID]time.Time{}} }

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
		if waiting = g.look(ctx); waiting {
			timer.Reset(lookEvery)
		}
	}
}

// look measures every pod that has a limit and has rested, and tells whether there are any with a limit.
func (g *Guard) look(ctx context.Context) (any bool) {
	var layers func(*v1.Pod, string) (int64, error)
	pods := g.Pods()
	maps.DeleteFunc(g.rests, func(uid types.UID, _ time.Time) bool {
		return !slices.ContainsFunc(pods, func(p *v1.Pod) bool { return p.UID == uid })
	})
	for _, pod := range pods {
		volumes, containers := Limits(pod), limitsStorage(pod)
		if len(volumes) == 0 && !containers {
			continue
		}
		any = true
		began := time.Now()
		if began.Before(g.rests[pod.UID]) {
			continue
		}
		if containers && layers == nil {
			layers = g.Layers(ctx)
		}
		if message := Verdict(pod, g.measure(ctx, pod, containers, layers)); message != "" && ctx.Err() == nil {
			g.Evict(pod, message)
			continue // asked again until it has gone
		}
		g.rests[pod.UID] = time.Now().Add(rest(time.Since(began)))
	}
	return any
}

// rest is how long a pod is left alone that took so long to be measured; nothing is the usual.
func rest(took time.Duration) time.Duration {
	if r := share * took; r > lookEvery {
		return min(r, longestRest)
	}
	return 0
}

// measure finds out what a pod uses: its limited directories, or everything when its containers have limits.
func (g *Guard) measure(ctx context.Context, pod *v1.Pod, all bool, layers func(*v1.Pod, string) (int64, error)) Use {
	use := Use{Volumes: map[string]int64{}, Containers: map[string]int64{}}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if e := v.EmptyDir; e == nil || e.Medium != v1.StorageMediumDefault || !all && e.SizeLimit == nil {
			continue
		}
		n, err := Usage(ctx, g.Dir(pod, v.Name))
		use.Volumes[v.Name] = g.counted(pod, "volume "+v.Name, n, err)
	}
	if !all {
		return use
	}
	for _, path := range g.Files(pod, "") {
		n, err := Usage(ctx, path)
		use.Volumes[""] = plus(use.Volumes[""], g.counted(pod, path, n, err)) // no volume is called so
	}
	for _, c := range everyContainer(pod) {
		for _, path := range g.Files(pod, c.Name) {
			n, err := Usage(ctx, path)
			use.Containers[c.Name] = plus(use.Containers[c.Name], g.counted(pod, path, n, err))
		}
		logs, err := Usage(ctx, g.Logs(pod, c.Name))
		use.Containers[c.Name] = plus(use.Containers[c.Name], g.counted(pod, "logs of "+c.Name, logs, err))
		layer, err := layers(pod, c.Name)
		use.Containers[c.Name] = plus(use.Containers[c.Name], g.counted(pod, "layer of "+c.Name, layer, err))
	}
	return use
}

// counted is n, nothing where nothing is there yet, and more than any limit where it is too much to be measured.
func (g *Guard) counted(pod *v1.Pod, what string, n int64, err error) int64 {
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return n
	case errors.Is(err, errTooMuch):
		return math.MaxInt64
	}
	if g.teller == nil {
		g.teller = trouble.New(g.Log, g.Failures, "measuring what pods take of the disk")
	}
	g.teller.Failed(err, "pod", pod.Namespace+"/"+pod.Name, "what", what)
	return n
}

// plus adds without going over the top.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

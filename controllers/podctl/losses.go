package podctl

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/bounds"
	"hyperkube/kit"
)

const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

// Losses pace the replacement of pods that end before any of their containers started: their
// kubelet refused them, or somebody deleted them at once. Made again at full speed, such pods come
// and go, hundreds a second, for as long as their owner exists.
//
// A round is as many lost pods as the owner wants. The first is made good at once, before the next
// ones there is a pause of 1 s, 2 s, 4 s … 5 min. A new generation of the owner begins anew, and so
// does one that has lost nothing for long. The zero Losses has seen none.
type Losses struct {
	mu     sync.Mutex
	owners map[kit.Key]*losses
}

type losses struct {
	owner      types.UID
	generation int64
	count      int
	last       time.Time
	until      time.Time
	told       time.Time          // the until that an event spoke of
	ours       map[types.UID]bool // told to go by the controller itself
	counted    map[types.UID]bool // going, and not gone yet
}

// Removing tells that the controller itself is about to delete the pod: no loss.
func (l *Losses) Removing(owner metav1.Object, pod types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.getLocked(owner).ours[pod] = true
}

// Changed looks at what became of a pod of owner, which wants so many.
func (l *Losses) Changed(owner metav1.Object, wanted int, before, after *corev1.Pod, now time.Time) {
	failed := after.Status.Phase == corev1.PodFailed && !Finished(before)
	going := after.DeletionTimestamp != nil && before.DeletionTimestamp == nil && !Finished(before)
	if (failed || going) && !Started(after) {
		l.lose(owner, wanted, after.UID, now, true)
	}
}

// Gone looks at a pod of owner that is no more.
func (l *Losses) Gone(owner metav1.Object, wanted int, last *corev1.Pod, now time.Time) {
	if !Finished(last) && !Started(last) {
		l.lose(owner, wanted, last.UID, now, false)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.getLocked(owner)
	delete(x.ours, last.UID)
	delete(x.counted, last.UID)
}

func (l *Losses) lose(owner metav1.Object, wanted int, pod types.UID, now time.Time, remains bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.getLocked(owner)
	if x.ours[pod] || x.counted[pod] {
		return
	}
	if remains {
		x.counted[pod] = true
	}
	if now.Sub(x.last) > 2*longestPause {
		x.count = 0
	}
	x.count++
	x.last = now
	if rounds := x.count / max(1, min(wanted, bounds.Batch)); rounds > 0 {
		x.until = now.Add(min(firstPause<<min(rounds-1, 16), longestPause))
	}
}

// Pause is how long the owner has to wait before the next pod is made in place of a lost one.
func (l *Losses) Pause(owner metav1.Object, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, ok := l.owners[keyOf(owner)]
	if !ok || x.owner != owner.GetUID() || x.generation != owner.GetGeneration() {
		return 0
	}
	return max(x.until.Sub(now), 0)
}

// Tell says on the owner, once a pause, that its pods have to wait, and for how long.
func (l *Losses) Tell(events kit.Recorder, owner Owner, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.getLocked(owner)
	if x.told.Equal(x.until) {
		return
	}
	x.told = x.until
	events.Eventf(owner, corev1.EventTypeWarning, ReasonCreateFailed,
		"Pods end before a container of them starts (%d lately): the next one is made in %s", x.count, max(left.Round(time.Second), time.Second))
}

// Forget drops an owner that is gone.
func (l *Losses) Forget(k kit.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.owners, k)
}

// getLocked returns what is known of the owner as it is now. Pods whose end is never seen are dropped
// when there are more of them than one look of a controller makes.
func (l *Losses) getLocked(owner metav1.Object) *losses {
	k := keyOf(owner)
	x, ok := l.owners[k]
	if !ok || x.owner != owner.GetUID() {
		x = &losses{owner: owner.GetUID(), generation: owner.GetGeneration(), ours: map[types.UID]bool{}, counted: map[types.UID]bool{}}
		if l.owners == nil {
			l.owners = map[kit.Key]*losses{}
		}
		l.owners[k] = x
	}
	if x.generation != owner.GetGeneration() {
		x.generation, x.count, x.until = owner.GetGeneration(), 0, time.Time{}
	}
	for _, m := range []map[types.UID]bool{x.ours, x.counted} {
		if len(m) > 4*bounds.Batch {
			clear(m)
		}
	}
	return x
}

func keyOf(o metav1.Object) kit.Key { return kit.Key{Namespace: o.GetNamespace(), Name: o.GetName()} }

// Started reports whether a container of the pod runs or ever ran.
func Started(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodSucceeded {
		return true
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			s := &list[i]
			if s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil || s.RestartCount > 0 {
				return true
			}
		}
	}
	return false
}

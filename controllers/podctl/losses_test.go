package podctl

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func pending(uid string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
}

func with(p *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	p = p.DeepCopy()
	change(p)
	return p
}

func going(p *corev1.Pod)   { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
func failed(p *corev1.Pod)  { p.Status.Phase = corev1.PodFailed }
func running(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }
func ran(p *corev1.Pod) {
	p.Status.Phase = corev1.PodFailed
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
}

// TestLossesPause: the first round is free, then pauses double up to the longest.
func TestLossesPause(t *testing.T) {
	var l Losses
	owner := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", Generation: 1}}
	now := time.Unix(1e9, 0)
	lose := func() { l.Changed(owner, 2, pending("p"+now.String()), with(pending("p"+now.String()), failed), now) }
	for i, want := range []time.Duration{0, 1, 1, 2, 2, 4, 4, 8} {
		lose()
		if got := l.Pause(owner, now); got != want*time.Second {
			t.Errorf("after %d lost pods: %s, want %ds", i+1, got, want)
		}
		now = now.Add(l.Pause(owner, now) + time.Millisecond)
	}
	for range 1000 {
		lose()
		now = now.Add(l.Pause(owner, now) + time.Millisecond)
	}
	lose()
	if got := l.Pause(owner, now); got != longestPause {
		t.Errorf("at last %s", got)
	}
	next := with2(owner, func(s *appsv1.ReplicaSet) { s.Generation++ })
	if l.Pause(next, now) != 0 {
		t.Error("a new generation waits for the old one's losses")
	}
	other := with2(owner, func(s *appsv1.ReplicaSet) { s.UID = "other" })
	if l.Pause(other, now) != 0 {
		t.Error("another owner of the name waits")
	}
	now = now.Add(3 * longestPause)
	if lose(); l.Pause(owner, now) != 0 {
		t.Error("what was lost long ago counts")
	}
	l.Forget(keyOf(owner))
	if len(l.owners) != 0 {
		t.Error("not forgotten")
	}
}

func with2(s *appsv1.ReplicaSet, change func(*appsv1.ReplicaSet)) *appsv1.ReplicaSet {
	s = s.DeepCopy()
	change(s)
	return s
}

// TestWhatIsALoss: pods that end, by whoever's doing but the controller's own, before they start; each once.
func TestWhatIsALoss(t *testing.T) {
	owner := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u"}}
	now := time.Unix(1e9, 0)
	p := pending("p")
	for name, c := range map[string]struct {
		happens func(*Losses)
		lost    int
	}{
		"refused":            {func(l *Losses) { l.Changed(owner, 1, p, with(p, failed), now) }, 1},
		"refused, then gone": {func(l *Losses) { l.Changed(owner, 1, p, with(p, failed), now); l.Gone(owner, 1, with(p, failed), now) }, 1},
		"deleted":            {func(l *Losses) { l.Changed(owner, 1, p, with(p, going), now) }, 1},
		"deleted, then gone": {func(l *Losses) { l.Changed(owner, 1, p, with(p, going), now); l.Gone(owner, 1, with(p, going), now) }, 1},
		"gone at once":       {func(l *Losses) { l.Gone(owner, 1, with(p, going), now) }, 1},
		"by the controller": {func(l *Losses) {
			l.Removing(owner, "p")
			l.Changed(owner, 1, p, with(p, going), now)
			l.Gone(owner, 1, with(p, going), now)
		}, 0},
		"runs, then deleted":   {func(l *Losses) { l.Changed(owner, 1, with(p, running), with(with(p, running), going), now) }, 0},
		"evicted after it ran": {func(l *Losses) { l.Changed(owner, 1, with(p, running), with(p, ran), now) }, 0},
		"still pending":        {func(l *Losses) { l.Changed(owner, 1, p, p, now) }, 0},
	} {
		var l Losses
		c.happens(&l)
		x := l.owners[keyOf(owner)]
		if x == nil {
			x = &losses{}
		}
		if x.count != c.lost {
			t.Errorf("%s: %d lost, want %d", name, x.count, c.lost)
		}
		if len(x.ours) > 0 {
			t.Errorf("%s: the controller's own deletion is remembered for ever", name)
		}
	}
}

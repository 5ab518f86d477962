package daemonset

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/bounds"
)

const burst = min(250, bounds.Batch) // pods that one reconcile makes or removes

// snapshot is all that a plan depends on.
type snapshot struct {
	set      *appsv1.DaemonSet
	hash     string // of the current template
	nodes    []*corev1.Node
	pods     []*corev1.Pod        // claimed
	notUntil map[string]time.Time // by node: when a failed daemon may be replaced
	pause    time.Duration        // before the next daemon is made: see podctl.Losses
	now      time.Time
}

// plan is what to do.
type plan struct {
	create []string // on these nodes
	remove []*corev1.Pod
	failed []*corev1.Pod // of those removed, the ones that had ended by themselves
	status appsv1.DaemonSetStatus
	after  time.Duration
	held   bool // daemons are missing and have to wait
}

// place is a node and the daemons it has.
type place struct {
	node      *corev1.Node
	run, stay bool
	fresh     []*corev1.Pod // of the current template, not ended, oldest first
	old       []*corev1.Pod
	ended     []*corev1.Pod
}

func planDaemons(s snapshot) plan {
	places, lost := survey(s)
	p := plan{remove: lost}
	p.status = planStatus(s, places, &p)
	if s.set.DeletionTimestamp != nil {
		p.remove = nil
		return p
	}
	for _, l := range places {
		p.manage(s, l)
	}
	if len(p.create) == 0 && len(p.remove) == 0 && s.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		p.roll(s, places)
	}
	if len(p.create) > 0 && s.pause > 0 {
		p.create, p.held = nil, true
		p.again(s.pause)
	}
	p.create = p.create[:min(len(p.create), burst)]
	p.remove = p.remove[:min(len(p.remove), burst)]
	return p
}

// survey sorts the pods by the node they belong to. lost are those that wait for a node that is gone.
func survey(s snapshot) (places []*place, lost []*corev1.Pod) {
	fit := newFitter(&s.set.Spec.Template.Spec)
	byNode := map[string]*place{}
	nodes := slices.SortedFunc(slices.Values(s.nodes), func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range nodes {
		l := &place{node: n}
		l.run, l.stay = fit.judge(n)
		byNode[n.Name] = l
		places = append(places, l)
	}
	pods := slices.SortedFunc(slices.Values(s.pods), func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			// It still holds its place: a second one could not use the same ports.
			if l := byNode[nodeOf(pod)]; l != nil && !podctl.Finished(pod) {
				l.old = append(l.old, pod)
			}
			continue
		}
		l := byNode[nodeOf(pod)]
		switch {
		case l == nil:
			if pod.Spec.NodeName == "" {
				lost = append(lost, pod)
			}
		case podctl.Finished(pod):
			l.ended = append(l.ended, pod)
		case pod.Labels[appsv1.ControllerRevisionHashLabelKey] == s.hash:
			l.fresh = append(l.fresh, pod)
		default:
			l.old = append(l.old, pod)
		}
	}
	return places, lost
}

// manage gives a node its daemon, or takes away what is too many.
func (p *plan) manage(s snapshot, l *place) {
	if !l.stay {
		p.removeAll(l.fresh, l.old, l.ended)
		return
	}
	for _, pod := range l.ended {
		if until := s.notUntil[l.node.Name]; s.now.Before(until) {
			p.again(until.Sub(s.now))
			continue
		}
		p.failed = append(p.failed, pod)
		p.removeAll([]*corev1.Pod{pod})
	}
	if len(l.fresh) > 1 {
		p.removeAll(l.fresh[1:])
	}
	going := func(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }
	if old := slices.DeleteFunc(slices.Clone(l.old), going); len(old) > 1 {
		p.removeAll(old[1:])
	}
	if l.run && len(l.fresh)+len(l.old)+len(l.ended) == 0 {
		p.create = append(p.create, l.node.Name)
	}
}

func (p *plan) removeAll(lists ...[]*corev1.Pod) {
	for _, list := range lists {
		for _, pod := range list {
			if pod.DeletionTimestamp == nil {
				p.remove = append(p.remove, pod)
			}
		}
	}
}

// roll replaces daemons of older templates: those that do not work at once, the others within
// maxUnavailable, or with maxSurge after a new one is there.
func (p *plan) roll(s snapshot, places []*place) {
	wanted := 0
	for _, l := range places {
		if l.run {
			wanted++
		}
	}
	surge, unavailable := allowance(s.set, wanted)
	ok := func(pods []*corev1.Pod) bool {
		return slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
			yes, _ := podctl.Available(pod, s.set.Spec.MinReadySeconds, s.now)
			return yes && pod.DeletionTimestamp == nil
		})
	}
	down, surging := 0, 0
	for _, l := range places {
		if !l.run {
			continue
		}
		if !ok(l.fresh) && !ok(l.old) {
			down++
		}
		if len(l.fresh) > 0 && len(l.old) > 0 {
			surging++
		}
	}
	for _, l := range places {
		if len(l.old) == 0 {
			continue
		}
		switch {
		case ok(l.fresh), surge == 0 && !ok(l.old) || surge > 0 && !ok(l.old) && len(l.fresh) > 0:
			p.removeAll(l.old)
		case surge > 0 && len(l.fresh) == 0 && (surging < surge || !ok(l.old)):
			if l.run {
				p.create = append(p.create, l.node.Name)
				surging++
			}
		case surge == 0 && down < unavailable:
			p.removeAll(l.old)
			down++
		}
	}
}

// allowance resolves maxSurge and maxUnavailable over the nodes that want a daemon.
func allowance(d *appsv1.DaemonSet, nodes int) (surge, unavailable int) {
	unavailable = 1
	r := d.Spec.UpdateStrategy.RollingUpdate
	if r == nil {
		return 0, unavailable
	}
	resolve := func(v *intstr.IntOrString, def int) int {
		if v == nil {
			return def
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(v, nodes, true)
		if err != nil {
			return def
		}
		return n
	}
	surge, unavailable = resolve(r.MaxSurge, 0), resolve(r.MaxUnavailable, 1)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

func planStatus(s snapshot, places []*place, p *plan) appsv1.DaemonSetStatus {
	st := *s.set.Status.DeepCopy()
	st.CurrentNumberScheduled, st.NumberMisscheduled, st.DesiredNumberScheduled, st.NumberReady = 0, 0, 0, 0
	st.UpdatedNumberScheduled, st.NumberAvailable = 0, 0
	for _, l := range places {
		pods := append(slices.Clone(l.fresh), l.old...)
		if !l.run {
			if len(pods) > 0 {
				st.NumberMisscheduled++
			}
			continue
		}
		st.DesiredNumberScheduled++
		if len(pods) == 0 {
			continue
		}
		st.CurrentNumberScheduled++
		if len(l.fresh) > 0 {
			st.UpdatedNumberScheduled++
		}
		ready, available := false, false
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil {
				continue
			}
			ok, left := podctl.Available(pod, s.set.Spec.MinReadySeconds, s.now)
			ready, available = ready || podctl.Ready(pod), available || ok
			if left > 0 {
				p.again(left)
			}
		}
		if ready {
			st.NumberReady++
		}
		if available {
			st.NumberAvailable++
		}
	}
	st.NumberUnavailable = st.DesiredNumberScheduled - st.NumberAvailable
	st.ObservedGeneration = s.set.Generation
	return st
}

func (p *plan) again(d time.Duration) {
	if p.after == 0 || d < p.after {
		p.after = d
	}
}

func failedMessage(pod *corev1.Pod) (reason, message string) {
	word, reason := "failed", "FailedDaemonPod"
	if pod.Status.Phase == corev1.PodSucceeded {
		word, reason = "succeeded", "SucceededDaemonPod"
	}
	return reason, fmt.Sprintf("Found %s daemon pod %s/%s on node %s, will try to kill it", word, pod.Namespace, pod.Name, nodeOf(pod))
}

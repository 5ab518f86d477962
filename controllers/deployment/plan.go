package deployment

import (
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// snapshot is all that a plan depends on.
type snapshot struct {
	deployment *appsv1.Deployment
	sets       []*appsv1.ReplicaSet // claimed
	busy       map[string]bool      // sets with pods that have not finished; only for Recreate
	now        time.Time
}

// plan is what to do, in this order.
type plan struct {
	revision string               // non-empty: write the deployment's revision annotation
	create   *appsv1.ReplicaSet   // the new set; on success the event of its first scaling
	update   []*appsv1.ReplicaSet // replicas and annotations
	scaled   map[string]scaling   // by set, for the events
	remove   []*appsv1.ReplicaSet // beyond the history limit
	status   appsv1.DeploymentStatus
	after    time.Duration // look again then: the progress deadline
}

type scaling struct{ from, to int32 }

// planner works on copies of the sets and collects the plan.
type planner struct {
	snapshot
	plan    plan
	current *appsv1.ReplicaSet // nil until it exists
	old     []*appsv1.ReplicaSet
	changed map[string]*appsv1.ReplicaSet
}

// planNext decides the next step of a deployment. Each step keeps the promise of the strategy by
// itself: what follows is decided when the replica sets report what came of it.
func planNext(s snapshot) (plan, error) {
	p := &planner{snapshot: s, changed: map[string]*appsv1.ReplicaSet{}}
	p.plan.scaled = map[string]scaling{}
	p.current, p.old = split(s.deployment, s.sets)
	err := p.decide()
	for _, set := range s.sets {
		if c, ok := p.changed[set.Name]; ok {
			p.plan.update = append(p.plan.update, c)
		}
	}
	return p.plan, err
}

func (p *planner) decide() error {
	d := p.deployment
	switch {
	case d.DeletionTimestamp != nil:
		p.plan.status = p.countStatus()
		return nil
	case d.Spec.Paused:
		p.adoptCurrent()
		p.scaleProportionally()
		p.cleanup(p.old)
		p.plan.status = p.countStatus()
		p.markPaused()
		return nil
	case p.resized() && (rolling(d) || len(active(p.sets)) == 1):
		p.adoptCurrent()
		p.scaleProportionally()
		p.plan.status = p.countStatus()
		p.markResumed(&p.plan.status)
		return nil
	case rolling(d):
		return p.rollingUpdate()
	}
	return p.recreate()
}

// resized reports whether the deployment's size was changed since its sets were sized.
func (p *planner) resized() bool {
	for _, s := range active(p.sets) {
		if want, ok := size(s, desiredAnnotation); ok && want != replicasOf(p.deployment) {
			return true
		}
	}
	return false
}

// rollingUpdate grows the new set, or else shrinks the old ones.
func (p *planner) rollingUpdate() error {
	if done, err := p.ensureCurrent(); done || err != nil {
		return err
	}
	if p.scale(p.current, p.newSize()) {
		return p.progress()
	}
	if p.shrinkOld() {
		return p.progress()
	}
	if complete(p.deployment, p.countStatus()) {
		p.cleanup(p.old)
	}
	return p.progress()
}

// recreate stops all old pods before the first new one.
func (p *planner) recreate() error {
	p.adoptCurrent()
	shrunk := false
	for _, s := range active(p.old) {
		shrunk = p.scale(s, 0) || shrunk
	}
	busy := slices.ContainsFunc(p.old, func(s *appsv1.ReplicaSet) bool { return p.busy[s.Name] })
	if shrunk || busy {
		return p.progress()
	}
	if done, err := p.ensureCurrent(); done || err != nil {
		return err
	}
	if complete(p.deployment, p.countStatus()) {
		p.cleanup(p.old)
	}
	p.scale(p.current, replicasOf(p.deployment))
	return p.progress()
}

// newSize is how large the new set may be now: the old and new pods together stay within maxSurge.
func (p *planner) newSize() int32 {
	d := p.deployment
	have := sizeOf(p.current)
	if !rolling(d) {
		return replicasOf(d)
	}
	if have > replicasOf(d) {
		return replicasOf(d)
	}
	room := int64(most(d)) - total(p.old, sizeOf) - int64(have)
	return have + fits(max(min(room, int64(replicasOf(d)-have)), 0))
}

// shrinkOld takes from the old sets what availability allows: first pods that are not
// available anyway, then as many as are available beyond the minimum.
func (p *planner) shrinkOld() bool {
	d := p.deployment
	oldSize := total(p.old, sizeOf)
	if oldSize == 0 || !reported(p.current) || slices.ContainsFunc(p.old, func(s *appsv1.ReplicaSet) bool { return !reported(s) }) {
		return false
	}
	_, unavailable := bounds(d)
	minimum := int64(replicasOf(d) - unavailable)
	newUnavailable := int64(max(sizeOf(p.current)-p.current.Status.AvailableReplicas, 0))
	budget := oldSize + int64(sizeOf(p.current)) - minimum - newUnavailable
	if budget <= 0 {
		return false
	}
	shrunk := false
	left := fits(budget)
	for _, s := range p.old { // oldest first
		// Pods that the set has not reported on count as available until it does.
		sick := min(sizeOf(s)-s.Status.AvailableReplicas, left)
		if sick > 0 && p.scale(s, sizeOf(p.latest(s))-sick) {
			left -= sick
			shrunk = true
		}
	}
	// What the sets report may lag behind their sizes: never take more than the sizes allow.
	spare := min(fits(total(append(slices.Clone(p.old), p.current), available)-minimum), left)
	for _, s := range p.old {
		if spare <= 0 {
			break
		}
		now := sizeOf(p.latest(s))
		if take := min(now, spare); take > 0 && p.scale(s, now-take) {
			spare -= take
			shrunk = true
		}
	}
	return shrunk
}

// adoptCurrent refreshes the new set's annotations and settles its revision, when the set exists.
// It reports whether the set changed.
func (p *planner) adoptCurrent() bool {
	if p.current == nil {
		return false
	}
	revision := max(maxRevision(p.old)+1, 1)
	set := p.edit(p.current)
	changed := inherit(p.deployment, set, revision, true)
	if set.Spec.MinReadySeconds != p.deployment.Spec.MinReadySeconds {
		set.Spec.MinReadySeconds = p.deployment.Spec.MinReadySeconds
		changed = true
	}
	if changed {
		p.changed[set.Name] = set
	}
	p.noteRevision(set.Annotations[revisionAnnotation])
	return changed
}

func (p *planner) noteRevision(r string) {
	if r != "" && p.deployment.Annotations[revisionAnnotation] != r {
		p.plan.revision = r
	}
}

// ensureCurrent adopts the new set or plans its creation; done says that there is nothing more
// to plan until it exists.
func (p *planner) ensureCurrent() (done bool, err error) {
	if p.current != nil {
		p.adoptCurrent()
		return false, nil
	}
	set, err := p.newSet()
	if err != nil {
		return true, err
	}
	p.plan.create = set
	p.noteRevision(set.Annotations[revisionAnnotation])
	p.plan.status = p.countStatus()
	if hasDeadline(p.deployment) {
		setCondition(&p.plan.status, newCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue,
			reasonSetCreated, fmt.Sprintf("Created new replica set %q", set.Name), p.now))
	}
	return true, nil
}

// newSet is the replica set for the deployment's template.
func (p *planner) newSet() (*appsv1.ReplicaSet, error) {
	d := p.deployment
	hash, err := templateHash(&d.Spec.Template, d.Status.CollisionCount)
	if err != nil {
		return nil, err
	}
	template := d.Spec.Template.DeepCopy()
	template.Labels = maps.Clone(template.Labels)
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	selector := d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	n := p.newSize()
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name + "-" + hash, Namespace: d.Namespace,
			OwnerReferences: []metav1.OwnerReference{ownerRef(d)},
			Labels:          template.Labels,
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &n, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: *template,
		},
	}
	inherit(d, set, maxRevision(p.old)+1, false)
	return set, nil
}

// cleanup plans to remove the oldest sets beyond the history limit that have nothing left.
func (p *planner) cleanup(old []*appsv1.ReplicaSet) {
	limit := p.deployment.Spec.RevisionHistoryLimit
	if limit == nil {
		return
	}
	var kept []*appsv1.ReplicaSet
	for _, s := range old {
		if s.DeletionTimestamp == nil {
			kept = append(kept, s)
		}
	}
	excess := len(kept) - int(*limit)
	if excess <= 0 {
		return
	}
	slices.SortStableFunc(kept, func(a, b *appsv1.ReplicaSet) int {
		return int(revisionOf(a.Annotations) - revisionOf(b.Annotations))
	})
	for _, s := range kept[:excess] {
		if s.Status.Replicas == 0 && sizeOf(s) == 0 && s.Generation <= s.Status.ObservedGeneration {
			p.plan.remove = append(p.plan.remove, s)
		}
	}
}

// edit returns the planner's own copy of a set.
func (p *planner) edit(s *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if c, ok := p.changed[s.Name]; ok {
		return c
	}
	return s.DeepCopy()
}

// latest is the set as the plan leaves it.
func (p *planner) latest(s *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if c, ok := p.changed[s.Name]; ok {
		return c
	}
	return s
}

// scale plans a size for a set and reports whether it differs from the size it has. The size
// annotations are kept current either way.
func (p *planner) scale(s *appsv1.ReplicaSet, to int32) bool {
	d := p.deployment
	set := p.edit(s)
	from := sizeOf(set)
	noted := setSizes(set, replicasOf(d), most(d))
	if from != to {
		set.Spec.Replicas = &to
		first := from
		if was, ok := p.plan.scaled[s.Name]; ok {
			first = was.from
		}
		p.plan.scaled[s.Name] = scaling{first, to}
	}
	if noted && (from != to || to > 0) || from != to {
		p.changed[s.Name] = set
	}
	return from != to
}

package deployment

import (
	"cmp"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
)

// scaleProportionally carries a new size of the deployment to its sets. In the middle of a rollout
// every set keeps its share, so that the risk taken stays the one that was chosen.
func (p *planner) scaleProportionally() {
	d := p.deployment
	if only := p.activeOrLatest(); only != nil {
		p.scale(only, replicasOf(d))
		return
	}
	if p.saturated() {
		for _, s := range active(p.old) {
			p.scale(s, 0)
		}
		return
	}
	if !rolling(d) {
		return
	}
	sets := active(append(slices.Clone(p.old), p.current))
	var allowed int32
	if replicasOf(d) > 0 {
		allowed = most(d)
	}
	p.share(sets, allowed)
}

// share brings the sets' sizes to allowed in all. Larger sets come first; of equals the newer one
// when growing, the older one when shrinking. What rounding leaves over goes to the first.
func (p *planner) share(sets []*appsv1.ReplicaSet, allowed int32) {
	add := fits(int64(allowed) - total(sets, sizeOf))
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		if c := cmp.Compare(sizeOf(b), sizeOf(a)); c != 0 {
			return c
		}
		if add > 0 {
			return byAge(b, a)
		}
		return byAge(a, b)
	})
	sizes := make([]int32, len(sets))
	var added int32
	for i, s := range sets {
		sizes[i] = sizeOf(s)
		if add != 0 {
			part := p.portion(s, allowed)
			if add > 0 {
				part = max(min(part, add-added), 0)
			} else {
				part = min(max(part, add-added), 0)
			}
			sizes[i] = max(fits(int64(sizes[i])+int64(part)), 0)
			added += part
		}
	}
	for i, s := range sets {
		if i == 0 && add != 0 {
			sizes[i] = max(fits(int64(sizes[i])+int64(add)-int64(added)), 0)
		}
		p.scale(s, sizes[i])
	}
}

// portion is by how much a set must change to keep its share of the most pods there could be.
func (p *planner) portion(s *appsv1.ReplicaSet, allowed int32) int32 {
	d := p.deployment
	if replicasOf(d) == 0 {
		return -sizeOf(s)
	}
	before, ok := size(s, maxAnnotation)
	if !ok {
		before = d.Status.Replicas
	}
	if before <= 0 {
		return 0
	}
	share := math.Round(float64(sizeOf(s)) * float64(allowed) / float64(before))
	return fits(int64(min(max(share, 0), math.MaxInt32)) - int64(sizeOf(s)))
}

// activeOrLatest is the one set to size when no rollout is under way.
func (p *planner) activeOrLatest() *appsv1.ReplicaSet {
	sets := slices.Clone(p.old)
	if p.current != nil {
		sets = append(sets, p.current)
	}
	running := active(sets)
	switch {
	case len(sets) == 0 || len(running) > 1:
		return nil
	case len(running) == 1:
		return running[0]
	case p.current != nil:
		return p.current
	}
	slices.SortFunc(sets, byAge)
	return sets[len(sets)-1]
}

// saturated reports whether the new set alone serves the deployment.
func (p *planner) saturated() bool {
	if p.current == nil {
		return false
	}
	want, ok := size(p.current, desiredAnnotation)
	n := replicasOf(p.deployment)
	return ok && sizeOf(p.current) == n && want == n && p.current.Status.AvailableReplicas == n
}

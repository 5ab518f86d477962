package garbage

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// plan is what to do about one object. The zero value is nothing.
type plan struct {
	remove     metav1.DeletionPropagation // not empty: delete the object this way
	dropOwners []types.UID                // remove these references from the object
	release    string                     // remove this finalizer from the object
	orphan     []dependentFact            // first remove their references to the object
	look       []types.UID                // have a look at these dependents
	unblock    []dependentFact            // first let these no longer block the object
}

// planFor decides about an object of which every owner's state is known.
func planFor(f facts) plan {
	switch {
	case f.orphaning:
		return plan{orphan: f.dependents, release: metav1.FinalizerOrphanDependents}
	case f.foreground:
		return planForeground(f)
	case f.deleting || len(f.owners) == 0:
		return plan{}
	}
	var solids, waitings int
	var leave []types.UID
	for _, o := range f.owners {
		switch o.state {
		case solid, unknown:
			solids++
		case waiting:
			waitings++
			leave = append(leave, o.ref.UID)
		case absent:
			leave = append(leave, o.ref.UID)
		}
	}
	switch {
	case solids > 0 && len(leave) > 0:
		return plan{dropOwners: leave}
	case solids > 0:
		return plan{}
	case waitings > 0 && len(f.dependents) > 0:
		// The owner waits for this one, so this one waits for its own dependents in turn. Those that
		// already wait themselves close a circle, which must not wait for ever.
		p := plan{remove: metav1.DeletePropagationForeground}
		for _, d := range f.dependents {
			if d.foreground && d.blocking {
				p.unblock = append(p.unblock, d)
			}
		}
		return p
	}
	return plan{remove: metav1.DeletePropagationBackground}
}

// planForeground lets an object go when no dependent blocks it, and else sees to its dependents.
func planForeground(f facts) plan {
	var p plan
	blocked := false
	for _, d := range f.dependents {
		blocked = blocked || d.blocking
		if !d.foreground {
			p.look = append(p.look, d.uid)
		}
	}
	if !blocked {
		p.release = metav1.FinalizerDeleteDependents
	}
	return p
}

package snapshot

import "hyperkube/scheduler/framework"

// terms are the affinity terms that pods on nodes hold, equal ones once, with how
// many pods hold each in every domain. A pending pod is matched against each
// term, not against each pod.
type terms struct {
	byKey map[termKey]*term
	list  []*framework.HeldTerm
}

type termKey struct {
	query   string
	weight  int64
	refuses bool
}

type term struct {
	framework.HeldTerm
	index int // in the list
	pods  int // that hold it, also on nodes without the topology key
}

func newTerms() terms { return terms{byKey: map[termKey]*term{}} }

// change tells of a pod that came to a node (1) or left it (-1).
func (t *terms) change(p *framework.Pod, n *framework.Node, by int) {
	for i := range p.Holds {
		h := &p.Holds[i]
		key := termKey{h.Query.Key, h.Weight, h.Refuses}
		e := t.byKey[key]
		if e == nil {
			e = &term{HeldTerm: framework.HeldTerm{Term: h.Term, Weight: h.Weight, Refuses: h.Refuses, ByValue: map[string]int{}}, index: len(t.list)}
			t.byKey[key] = e
			t.list = append(t.list, &e.HeldTerm)
		}
		if v, ok := n.Labels[h.Query.TopologyKey]; ok {
			if e.ByValue[v] += by; e.ByValue[v] == 0 {
				delete(e.ByValue, v)
			}
		}
		if e.pods += by; e.pods == 0 {
			t.drop(key, e)
		}
	}
}

func (t *terms) drop(key termKey, e *term) {
	delete(t.byKey, key)
	last := len(t.list) - 1
	if moved := t.list[last]; e.index != last {
		t.list[e.index] = moved
		t.byKey[termKey{moved.Query.Key, moved.Weight, moved.Refuses}].index = e.index
	}
	t.list[last] = nil
	t.list = t.list[:last]
}

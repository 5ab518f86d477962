package framework

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// ByNode as a topology key groups by the node itself, whatever its labels.
const ByNode = ""

// CountQuery names a set of placed pods and how to group them. Equal queries
// share one counter; Key tells whether they are equal.
type CountQuery struct {
	Key         string
	Namespaces  map[string]bool // nil takes every namespace
	Selector    labels.Selector
	Owner       string // instead of Selector: the controller's uid
	TopologyKey string
	Living      bool // leaves out pods that are being deleted
	// Also are queries that a pod has to match besides this one.
	Also []CountQuery
}

// Matches reports whether the pod belongs to the set.
func (q *CountQuery) Matches(p *corev1.Pod) bool {
	if q.Living && p.DeletionTimestamp != nil {
		return false
	}
	if q.Owner != "" {
		o := metav1.GetControllerOfNoCopy(p)
		return o != nil && string(o.UID) == q.Owner
	}
	if q.Namespaces != nil && !q.Namespaces[p.Namespace] || !q.Selector.Matches(labels.Set(p.Labels)) {
		return false
	}
	for i := range q.Also {
		if !q.Also[i].Matches(p) {
			return false
		}
	}
	return true
}

// Counts are pods by topology value. Nodes without the key are in no domain.
type Counts struct {
	ByValue map[string]int
	Total   int
}

// Domains are the values of a label, with how many nodes have each.
type Domains struct {
	ByValue map[string]int
	Total   int // nodes that have the label
}

// HeldTerm is an affinity term that placed pods hold towards others.
type HeldTerm struct {
	Term
	Weight  int64 // of the wish to be near (below 0: away); 0 for a refusal
	Refuses bool  // required anti-affinity
	// ByValue counts the pods that hold it by their node's value of the topology key.
	ByValue map[string]int
}

// NewQuery makes the query for a selector in namespaces (nil: all).
func NewQuery(namespaces []string, s labels.Selector, topologyKey string) CountQuery {
	q := CountQuery{Selector: s, TopologyKey: topologyKey}
	names := "*"
	if namespaces != nil {
		q.Namespaces = make(map[string]bool, len(namespaces))
		for _, n := range namespaces {
			q.Namespaces[n] = true
		}
		names = strings.Join(slices.Sorted(maps.Keys(q.Namespaces)), ",")
	}
	q.Key = topologyKey + "\x00" + s.String() + "\x00" + names
	return q
}

// OwnerQuery counts the living pods of a controller.
func OwnerQuery(uid, namespace, topologyKey string) CountQuery {
	return CountQuery{Key: topologyKey + "\x00owner " + uid, Owner: uid, Namespaces: map[string]bool{namespace: true}, TopologyKey: topologyKey, Living: true}
}

// Alive is the query without pods that are being deleted.
func (q CountQuery) Alive() CountQuery {
	q.Living = true
	q.Key += "\x00living"
	return q
}

// By is the query grouped by another topology key.
func (q CountQuery) By(topologyKey string) CountQuery {
	q.Key = topologyKey + q.Key[len(q.TopologyKey):]
	q.TopologyKey = topologyKey
	return q
}

// Together are the pods that match all of the queries, grouped by each topology key
// that one of them has: as many queries as there are keys.
func Together(all []CountQuery) []CountQuery {
	if len(all) < 2 {
		return all
	}
	joined, keys := all[0], []string{all[0].TopologyKey}
	joined.Also = all[1:]
	var key strings.Builder
	key.WriteString(joined.Key)
	for i := range joined.Also {
		key.WriteString("\x00and ")
		key.WriteString(joined.Also[i].Key)
		if k := joined.Also[i].TopologyKey; !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	joined.Key = key.String()
	out := make([]CountQuery, len(keys))
	for i, k := range keys {
		out[i] = joined.By(k)
	}
	return out
}

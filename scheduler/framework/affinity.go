package framework

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// NamespaceSelector returns the names of the namespaces a selector takes.
type NamespaceSelector func(labels.Selector) []string

// Term is a compiled pod affinity term.
type Term struct {
	Query CountQuery
}

// WeightedTerm is a preferred term.
type WeightedTerm struct {
	Term
	Weight int64
}

// Matches reports whether q is one of the pods that the term speaks of.
func (t Term) Matches(q *corev1.Pod) bool { return t.Query.Matches(q) }

// CountQuery names a set of placed pods and how to group them. Equal queries
// share one counter; Key tells whether they are equal.
type CountQuery struct {
	Key         string
	Namespaces  map[string]bool // nil takes every namespace
	Selector    labels.Selector
	Owner       string // instead of Selector: the controller's uid
	TopologyKey string
}

// Matches reports whether the pod belongs to the set.
func (q *CountQuery) Matches(p *corev1.Pod) bool {
	if q.Owner != "" {
		o := metav1.GetControllerOfNoCopy(p)
		return o != nil && string(o.UID) == q.Owner
	}
	return (q.Namespaces == nil || q.Namespaces[p.Namespace]) && p.DeletionTimestamp == nil && q.Selector.Matches(labels.Set(p.Labels))
}

// Counts are pods by topology value. Nodes without the key are in no domain.
type Counts struct {
	ByValue map[string]int
	Total   int
}

// NewQuery makes the query for a selector in namespaces (none: all).
func NewQuery(namespaces []string, s labels.Selector, topologyKey string) CountQuery {
	slices.Sort(namespaces)
	q := CountQuery{Selector: s, TopologyKey: topologyKey}
	if namespaces != nil {
		q.Namespaces = map[string]bool{}
		for _, n := range namespaces {
			q.Namespaces[n] = true
		}
	}
	q.Key = topologyKey + "\x00" + s.String() + "\x00" + strings.Join(slices.Sorted(maps.Keys(q.Namespaces)), ",")
	if namespaces == nil {
		q.Key += "\x00*"
	}
	return q
}

func (p *Pod) compileAffinity(ns NamespaceSelector) error {
	a := p.Spec.Affinity
	if a == nil {
		return nil
	}
	var err error
	if a.PodAffinity != nil {
		if p.Affinity, err = p.terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, ns); err != nil {
			return err
		}
		if p.PreferredAffinity, err = p.weighted(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, ns); err != nil {
			return err
		}
	}
	if a.PodAntiAffinity != nil {
		if p.AntiAffinity, err = p.terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, ns); err != nil {
			return err
		}
		p.PreferredAntiAffinity, err = p.weighted(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, ns)
	}
	return err
}

func (p *Pod) terms(in []corev1.PodAffinityTerm, ns NamespaceSelector) ([]Term, error) {
	var out []Term
	for i := range in {
		t, err := p.term(&in[i], ns)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (p *Pod) weighted(in []corev1.WeightedPodAffinityTerm, ns NamespaceSelector) ([]WeightedTerm, error) {
	var out []WeightedTerm
	for i := range in {
		t, err := p.term(&in[i].PodAffinityTerm, ns)
		if err != nil {
			return nil, err
		}
		out = append(out, WeightedTerm{t, int64(in[i].Weight)})
	}
	return out, nil
}

func (p *Pod) term(in *corev1.PodAffinityTerm, ns NamespaceSelector) (Term, error) {
	s, err := metav1.LabelSelectorAsSelector(in.LabelSelector)
	if err != nil {
		return Term{}, fmt.Errorf("affinity of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	s = WithPodLabels(s, p.Labels, in.MatchLabelKeys, in.MismatchLabelKeys)
	names := slices.Clone(in.Namespaces)
	if in.NamespaceSelector != nil {
		sel, err := metav1.LabelSelectorAsSelector(in.NamespaceSelector)
		if err != nil {
			return Term{}, fmt.Errorf("affinity of pod %s/%s: %w", p.Namespace, p.Name, err)
		}
		if sel.Empty() {
			return Term{NewQuery(nil, s, in.TopologyKey)}, nil
		}
		if ns != nil {
			names = append(names, ns(sel)...)
		}
	} else if len(names) == 0 {
		names = []string{p.Namespace}
	}
	if names == nil {
		names = []string{}
	}
	return Term{NewQuery(names, s, in.TopologyKey)}, nil
}

// WithPodLabels narrows s to pods whose labels under keys equal (or, for
// unlike, differ from) those of the pod itself (KEP-3243, KEP-3633).
func WithPodLabels(s labels.Selector, of map[string]string, like, unlike []string) labels.Selector {
	add := func(keys []string, op string) {
		for _, k := range keys {
			v, ok := of[k]
			if !ok {
				continue
			}
			if r, err := labels.ParseToRequirements(k + " " + op + " (" + v + ")"); err == nil {
				s = s.Add(r...)
			}
		}
	}
	add(like, "in")
	add(unlike, "notin")
	return s
}

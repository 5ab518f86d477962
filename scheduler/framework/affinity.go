package framework

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
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

// Hold is a term that a placed pod holds towards others.
type Hold struct {
	Term
	Weight  int64
	Refuses bool
}

// Matches reports whether q is one of the pods that the term speaks of.
func (t Term) Matches(q *corev1.Pod) bool { return t.Query.Matches(q) }

func (p *Pod) compileAffinity(ns NamespaceSelector) error {
	a := p.Spec.Affinity
	if a == nil || p.TooMuch != "" {
		return nil
	}
	defer p.hold()
	var err error
	if a.PodAffinity != nil {
		if p.Affinity, err = p.terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, ns); err != nil {
			return err
		}
		queries := make([]CountQuery, len(p.Affinity))
		for i, t := range p.Affinity {
			queries[i] = t.Query
		}
		p.Together = Together(queries)
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

// hold lists what the pod, once placed, says to pods that come later. A required
// term towards others is a wish of weight 1 the other way round.
func (p *Pod) hold() {
	p.Holds = p.Holds[:0]
	for _, t := range p.AntiAffinity {
		p.Holds = append(p.Holds, Hold{t, 0, true})
	}
	for _, t := range p.Affinity {
		p.Holds = append(p.Holds, Hold{t, 1, false})
	}
	for _, t := range p.PreferredAffinity {
		p.Holds = append(p.Holds, Hold{t.Term, t.Weight, false})
	}
	for _, t := range p.PreferredAntiAffinity {
		p.Holds = append(p.Holds, Hold{t.Term, -t.Weight, false})
	}
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
		p.NamespaceSelectors = true
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
	add := func(keys []string, op selection.Operator) {
		for _, k := range keys {
			v, ok := of[k]
			if !ok {
				continue
			}
			if r, err := labels.NewRequirement(k, op, []string{v}); err == nil {
				s = s.Add(*r)
			}
		}
	}
	add(like, selection.In)
	add(unlike, selection.NotIn)
	return s
}

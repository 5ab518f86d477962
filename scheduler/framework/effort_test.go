package framework

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// TestTogether: required terms are one question for each topology key, however many terms there are.
func TestTogether(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}}
	p.Spec.Affinity = near(300, "zone", "rack")
	c, err := Compile(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Together) != 2 || c.Together[0].TopologyKey != "zone" || c.Together[1].TopologyKey != "rack" || c.Together[0].Key == c.Together[1].Key {
		t.Fatalf("%d queries", len(c.Together))
	}
	labelled := func(n int) *corev1.Pod {
		q := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Labels: map[string]string{}}}
		for i := range n {
			q.Labels[fmt.Sprintf("l%d", i)] = ""
		}
		return q
	}
	for _, q := range c.Together {
		if !q.Matches(labelled(300)) || q.Matches(labelled(299)) {
			t.Errorf("%s: does not ask for all terms", q.TopologyKey)
		}
	}
}

// TestTooMuch: what is compared with every node and pod is bounded, whichever field it stands in.
func TestTooMuch(t *testing.T) {
	selector := func(n int) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "In", Values: make([]string, n-1)}}}
	}
	const terms, conditions = bounds.PlacementTerms, bounds.PlacementConditions
	for name, fill := range map[string]struct {
		most int
		spec func(n int) corev1.PodSpec
	}{
		"affinity": {terms, func(n int) corev1.PodSpec { return corev1.PodSpec{Affinity: near(n, "zone")} }},
		"anti-affinity": {terms, func(n int) corev1.PodSpec {
			return corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: make([]corev1.WeightedPodAffinityTerm, n)}}}
		}},
		"nodes": {terms, func(n int) corev1.PodSpec {
			return corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: make([]corev1.PreferredSchedulingTerm, n)}}}
		}},
		"spread": {terms, func(n int) corev1.PodSpec {
			return corev1.PodSpec{TopologySpreadConstraints: make([]corev1.TopologySpreadConstraint, n)}
		}},
		"values of spread": {conditions, func(n int) corev1.PodSpec {
			return corev1.PodSpec{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{LabelSelector: selector(n)}}}
		}},
		"namespaces": {conditions, func(n int) corev1.PodSpec {
			return corev1.PodSpec{Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
				PodAffinityTerm: corev1.PodAffinityTerm{Namespaces: make([]string, n)}}}}}}
		}},
		"node selector": {conditions, func(n int) corev1.PodSpec {
			s := corev1.PodSpec{NodeSelector: map[string]string{}}
			for i := range n {
				s.NodeSelector[fmt.Sprint(i)] = ""
			}
			return s
		}},
	} {
		for n, much := range map[int]bool{fill.most: false, fill.most + 1: true} {
			c, err := Compile(&corev1.Pod{Spec: fill.spec(n)}, nil)
			if err != nil && !much {
				t.Errorf("%s: %v", name, err)
			}
			if (c.TooMuch != "") != much || much && !strings.Contains(c.TooMuch, fmt.Sprint(n)) {
				t.Errorf("%s of %d: %q", name, n, c.TooMuch)
			}
			if much && len(c.Holds)+len(c.Together) > 0 {
				t.Errorf("%s: terms beyond the bound count", name)
			}
		}
	}
}

// near wants n pods of different labels near, by the keys in turn.
func near(n int, keys ...string) *corev1.Affinity {
	a := &corev1.PodAffinity{}
	for i := range n {
		a.RequiredDuringSchedulingIgnoredDuringExecution = append(a.RequiredDuringSchedulingIgnoredDuringExecution, corev1.PodAffinityTerm{
			TopologyKey:   keys[i%len(keys)],
			LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: fmt.Sprintf("l%d", i), Operator: "Exists"}}},
		})
	}
	return &corev1.Affinity{PodAffinity: a}
}

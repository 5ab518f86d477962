package scheduler

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"hyperkube/internal/selector"
	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/framework"
)

// outcome is what came of trying to make room, in the API's own objects, which,
// unlike the model's, may be looked at outside the loop.
type outcome struct {
	node      string // nominated
	victims   []*corev1.Pod
	outranked []*corev1.Pod   // lose their nomination to that node
	lost      bool            // an earlier nomination is void
	freed     framework.Event // what others may be helped by
	note      string          // why no room was made
}

// preempt looks for room that removing less important pods would make, and
// keeps it for the pod in the model at once.
func (s *Scheduler) preempt(p *framework.Pod, decider *decide.Decider, d decide.Decision) outcome {
	nodes := len(s.model.Nodes())
	if nodes == 0 {
		return outcome{}
	}
	if why := s.mayNotPreempt(p, d); why != "" {
		return outcome{note: why}
	}
	var pre *decide.Preemption
	if len(d.Open) > 0 && s.model.HasLower(p.Priority()) {
		s.metrics.preemptions.Inc()
		pre = decider.Preempt(p, s.model, d.Open, budgetOf(s.budgets.List()))
	}
	if pre == nil {
		o := outcome{note: decide.NoVictims(d, nodes)}
		if o.lost = s.model.Denominate(p.UID) || p.Status.NominatedNodeName != ""; o.lost {
			o.freed = framework.NominationGone
		}
		return o
	}
	s.metrics.victims.Observe(float64(len(pre.Victims)))
	o := outcome{node: pre.Node.Name}
	for _, v := range pre.Victims {
		o.victims = append(o.victims, v.Pod)
	}
	for _, q := range slices.Clone(pre.Node.Nominated) {
		if q.Priority() < p.Priority() {
			s.model.Denominate(q.UID)
			o.outranked, o.freed = append(o.outranked, q.Pod), framework.NominationGone
		}
	}
	s.model.Nominate(p, pre.Node.Name)
	return o
}

// mayNotPreempt says why a pod has to do without; in particular while victims of
// an earlier round are still going.
func (s *Scheduler) mayNotPreempt(p *framework.Pod, d decide.Decision) string {
	if p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy == corev1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	const going = "not eligible due to a terminating pod on the nominated node."
	if s.making[p.UID] {
		return going
	}
	n := s.model.NominatedNode(p.UID)
	if n == nil || !slices.Contains(d.Open, n) {
		return ""
	}
	if slices.ContainsFunc(n.Pods, func(q *framework.Pod) bool { return q.DeletionTimestamp != nil && q.Priority() < p.Priority() }) {
		return going
	}
	return ""
}

// budgetOf counts down the disruption budgets; every answer begins anew. A pod is compared
// with the budgets of its namespace only, and with the selectors as they are written: all
// other pods wait meanwhile.
func budgetOf(list []*policyv1.PodDisruptionBudget) decide.Budget {
	in := map[string][]int{}
	for i, b := range list {
		if !selector.Empty(b.Spec.Selector) {
			in[b.Namespace] = append(in[b.Namespace], i)
		}
	}
	return func(pods []*framework.Pod) []bool {
		out, used := make([]bool, len(pods)), make([]int32, len(list))
		for i, p := range pods {
			for _, j := range in[p.Namespace] {
				b := list[j]
				if !selector.Matches(b.Spec.Selector, p.Labels) {
					continue
				}
				if _, counted := b.Status.DisruptedPods[p.Name]; counted {
					continue
				}
				used[j]++
				out[i] = out[i] || used[j] > b.Status.DisruptionsAllowed
			}
		}
		return out
	}
}

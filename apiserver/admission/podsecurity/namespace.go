package podsecurity

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/api/invalid"
	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
)

// namespace refuses labels that say nothing, and warns of pods that a raised bar
// would refuse. Labels that were wrong before, and are as they were, do not keep
// the namespace from other changes.
func (p Plugin) namespace(ctx context.Context, a *admission.Attributes, ns *corev1.Namespace) error {
	now, errs := policyOf(ns.Labels, p.c.Defaults)
	old, isUpdate := a.Old.(*corev1.Namespace)
	before := p.c.Defaults
	if isUpdate {
		was, wrong := policyOf(old.Labels, p.c.Defaults)
		if before = was; equality.Semantic.DeepEqual(errs, wrong) {
			errs = nil
		}
	}
	if len(errs) > 0 {
		return invalid.New(schema.GroupKind{Kind: "Namespace"}, ns.Name, errs)
	}
	if slices.Contains(p.c.Namespaces, ns.Name) {
		if now != before {
			request.Warn(ctx, fmt.Sprintf("namespace %q is exempt from Pod Security, and the policy (enforce=%s, audit=%s, warn=%s) will be ignored",
				ns.Name, now.Enforce, now.Audit, now.Warn))
		}
		return nil
	}
	if !isUpdate || now.Enforce == before.Enforce || now.Enforce.Level == Privileged ||
		now.Enforce.Version == before.Enforce.Version && now.Enforce.Level < before.Enforce.Level {
		return nil
	}
	return p.warnOfPods(ctx, ns.Name, now.Enforce)
}

func (p Plugin) warnOfPods(ctx context.Context, namespace string, bar Bar) error {
	pods, err := admission.All[*corev1.Pod](ctx, p.r, "", "pods", namespace)
	if err != nil {
		return err
	}
	for _, line := range existing(namespace, bar, pods, func(s *corev1.PodSpec) bool { return p.c.exempt("", "", s) != "" }) {
		request.Warn(ctx, line)
	}
	return nil
}

// existing are the warnings about pods below the bar: one line for all pods with
// the same violations, named by the first.
func existing(namespace string, bar Bar, pods []*corev1.Pod, exempt func(*corev1.PodSpec) bool) []string {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	all := len(pods)
	if all > bounds.PodsWarnedOf {
		pods = pods[:bounds.PodsWarnedOf]
	}
	byReasons := map[string][]string{}
	for _, pod := range pods {
		if exempt(&pod.Spec) {
			continue
		}
		var reasons []string
		for _, v := range Violations(bar, &pod.ObjectMeta, &pod.Spec) {
			reasons = append(reasons, v.Reason)
		}
		if len(reasons) > 0 {
			key := strings.Join(reasons, ", ")
			byReasons[key] = append(byReasons[key], pod.Name)
		}
	}
	var lines []string
	for reasons, names := range byReasons {
		switch others := len(names) - 1; others {
		case 0:
			lines = append(lines, names[0]+": "+reasons)
		case 1:
			lines = append(lines, names[0]+" (and 1 other pod): "+reasons)
		default:
			lines = append(lines, fmt.Sprintf("%s (and %d other pods): %s", names[0], others, reasons))
		}
	}
	slices.Sort(lines)
	if more := len(lines) - bounds.PodWarnings; more > 0 {
		lines = append(lines[:bounds.PodWarnings], fmt.Sprintf("and %d other kinds of violations", more))
	}
	if len(lines) > 0 {
		lines = slices.Insert(lines, 0, fmt.Sprintf("existing pods in namespace %q violate the new PodSecurity enforce level %q", namespace, bar))
	}
	if all > len(pods) {
		lines = slices.Insert(lines, 0, fmt.Sprintf("new PodSecurity enforce level only checked against the first %d of %d existing pods", len(pods), all))
	}
	return lines
}

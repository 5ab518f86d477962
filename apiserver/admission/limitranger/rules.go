package limitranger

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const annotation = "kubernetes.io/limit-ranger"

// applyDefaults sets requests and limits that containers leave open. A request
// is never put above the container's own limit by way of a default.
func applyDefaults(r *corev1.LimitRange, pod *corev1.Pod) {
	request, limit := corev1.ResourceList{}, corev1.ResourceList{}
	for _, item := range r.Spec.Limits {
		if item.Type == corev1.LimitTypeContainer {
			maps.Copy(request, item.DefaultRequest)
			maps.Copy(limit, item.Default)
		}
	}
	var notes []string
	for i := range pod.Spec.InitContainers {
		notes = append(notes, fill(&pod.Spec.InitContainers[i], "init container", request, limit)...)
	}
	for i := range pod.Spec.Containers {
		notes = append(notes, fill(&pod.Spec.Containers[i], "container", request, limit)...)
	}
	if len(notes) > 0 {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[annotation] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
	}
}

func fill(c *corev1.Container, what string, request, limit corev1.ResourceList) (notes []string) {
	set := func(have *corev1.ResourceList, want corev1.ResourceList, name string) {
		var added []string
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if _, ok := (*have)[k]; ok {
				continue
			}
			if *have == nil {
				*have = corev1.ResourceList{}
			}
			(*have)[k] = want[k].DeepCopy()
			added = append(added, string(k))
		}
		if len(added) > 0 {
			notes = append(notes, fmt.Sprintf("%s %s for %s %s", strings.Join(added, ", "), name, what, c.Name))
		}
	}
	set(&c.Resources.Requests, request, "request")
	set(&c.Resources.Limits, limit, "limit")
	return notes
}

func checkPod(r *corev1.LimitRange, pod *corev1.Pod) (errs []error) {
	for i := range r.Spec.Limits {
		item := &r.Spec.Limits[i]
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
				for n := range list {
					errs = append(errs, check(item, list[n].Resources.Requests, list[n].Resources.Limits)...)
				}
			}
		case corev1.LimitTypePod:
			requests, limits := podTotals(pod)
			errs = append(errs, check(item, requests, limits)...)
		}
	}
	return errs
}

func checkClaim(r *corev1.LimitRange, pvc *corev1.PersistentVolumeClaim) (errs []error) {
	for i := range r.Spec.Limits {
		if item := &r.Spec.Limits[i]; item.Type == corev1.LimitTypePersistentVolumeClaim {
			for _, k := range slices.Sorted(maps.Keys(item.Min)) {
				errs = appendIf(errs, atLeast(item, k, pvc.Spec.Resources.Requests, nil))
			}
			for _, k := range slices.Sorted(maps.Keys(item.Max)) {
				errs = appendIf(errs, claimAtMost(item, k, pvc.Spec.Resources.Requests))
			}
		}
	}
	return errs
}

func check(item *corev1.LimitRangeItem, requests, limits corev1.ResourceList) (errs []error) {
	for _, k := range slices.Sorted(maps.Keys(item.Min)) {
		errs = appendIf(errs, atLeast(item, k, requests, limits))
	}
	for _, k := range slices.Sorted(maps.Keys(item.Max)) {
		errs = appendIf(errs, atMost(item, k, requests, limits))
	}
	for _, k := range slices.Sorted(maps.Keys(item.MaxLimitRequestRatio)) {
		errs = appendIf(errs, ratio(item, k, requests, limits))
	}
	return errs
}

func appendIf(errs []error, err error) []error {
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

func atLeast(item *corev1.LimitRangeItem, k corev1.ResourceName, requests, limits corev1.ResourceList) error {
	want := item.Min[k]
	req, hasReq := requests[k]
	lim, hasLim := limits[k]
	switch {
	case !hasReq:
		return fmt.Errorf("minimum %s usage per %s is %s.  No request is specified", k, item.Type, want.String())
	case req.Cmp(want) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but request is %s", k, item.Type, want.String(), req.String())
	case hasLim && lim.Cmp(want) < 0:
		return fmt.Errorf("minimum %s usage per %s is %s, but limit is %s", k, item.Type, want.String(), lim.String())
	}
	return nil
}

func atMost(item *corev1.LimitRangeItem, k corev1.ResourceName, requests, limits corev1.ResourceList) error {
	want := item.Max[k]
	req, hasReq := requests[k]
	lim, hasLim := limits[k]
	switch {
	case !hasLim:
		return fmt.Errorf("maximum %s usage per %s is %s.  No limit is specified", k, item.Type, want.String())
	case lim.Cmp(want) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but limit is %s", k, item.Type, want.String(), lim.String())
	case hasReq && req.Cmp(want) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", k, item.Type, want.String(), req.String())
	}
	return nil
}

func claimAtMost(item *corev1.LimitRangeItem, k corev1.ResourceName, requests corev1.ResourceList) error {
	want := item.Max[k]
	req, ok := requests[k]
	switch {
	case !ok:
		return fmt.Errorf("maximum %s usage per %s is %s.  No request is specified", k, item.Type, want.String())
	case req.Cmp(want) > 0:
		return fmt.Errorf("maximum %s usage per %s is %s, but request is %s", k, item.Type, want.String(), req.String())
	}
	return nil
}

func ratio(item *corev1.LimitRangeItem, k corev1.ResourceName, requests, limits corev1.ResourceList) error {
	want := item.MaxLimitRequestRatio[k]
	req, hasReq := requests[k]
	lim, hasLim := limits[k]
	if !hasReq || req.IsZero() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no request is specified or request is 0", k, item.Type, want.String())
	}
	if !hasLim || lim.IsZero() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but no limit is specified or limit is 0", k, item.Type, want.String())
	}
	if have := lim.AsApproximateFloat64() / req.AsApproximateFloat64(); have > want.AsApproximateFloat64() {
		return fmt.Errorf("%s max limit to request ratio per %s is %s, but provided ratio is %f", k, item.Type, want.String(), have)
	}
	return nil
}

// podTotals: a pod needs the sum of its containers and sidecars, or what an init
// container needs beside the sidecars started before it, if that is more. What a
// container leaves open counts as nothing, as published; what the pod says for
// all of them together is its total.
func podTotals(pod *corev1.Pod) (requests, limits corev1.ResourceList) {
	requests = total(pod, func(c *corev1.Container) corev1.ResourceList { return c.Resources.Requests })
	limits = total(pod, func(c *corev1.Container) corev1.ResourceList { return c.Resources.Limits })
	if whole := pod.Spec.Resources; whole != nil {
		maps.Copy(requests, whole.Requests)
		maps.Copy(limits, whole.Limits)
	}
	return requests, limits
}

func total(pod *corev1.Pod, of func(*corev1.Container) corev1.ResourceList) corev1.ResourceList {
	sum := corev1.ResourceList{}
	for i := range pod.Spec.Containers {
		addTo(sum, of(&pod.Spec.Containers[i]))
	}
	sidecars, peak := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		need := corev1.ResourceList{}
		addTo(need, of(c))
		addTo(need, sidecars)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			addTo(sidecars, of(c))
		}
		maxTo(peak, need)
	}
	addTo(sum, sidecars)
	maxTo(sum, peak)
	return sum
}

func addTo(sum, l corev1.ResourceList) {
	for k, v := range l {
		q := sum[k]
		q.Add(v)
		sum[k] = q
	}
}

func maxTo(out, l corev1.ResourceList) {
	for k, v := range l {
		if have, ok := out[k]; !ok || have.Cmp(v) < 0 {
			out[k] = v.DeepCopy()
		}
	}
}

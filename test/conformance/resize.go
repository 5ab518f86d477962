package conformance

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// resizing: the resources of running containers change in place.
func resizing() []behaviour {
	g := func(cpu, memory string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: amounts(cpu, memory), Limits: amounts(cpu, memory)}
	}
	b := func(requests, limits corev1.ResourceList) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: requests, Limits: limits}
	}
	three := []corev1.ResourceRequirements{g("20m", "40Mi"), g("30m", "50Mi"), g("40m", "60Mi")}
	return []behaviour{
		{name: "In-place Pod Resize, guaranteed pods with multiple containers, net increase", run: resized(three, g("40m", "60Mi"), g("50m", "70Mi"), g("30m", "50Mi"))},
		{name: "In-place Pod Resize, guaranteed pods with multiple containers, net decrease", run: resized(three, g("30m", "50Mi"), g("15m", "40Mi"), g("20m", "45Mi"))},
		{name: "In-place Pod Resize, guaranteed pods with multiple containers, various operations", run: resized(three, g("30m", "40Mi"), g("20m", "60Mi"), g("50m", "70Mi"))},
		{name: "In-place Pod Resize, burstable pod resized with equivalents", run: resized(
			[]corev1.ResourceRequirements{b(quantities("cpu", "2m"), quantities("cpu", "10m"))}, b(quantities("cpu", "1m"), quantities("cpu", "5m")))},
		{name: "In-place Pod Resize, burtable pod with multiple containers and various operations", run: resized(
			[]corev1.ResourceRequirements{b(quantities("cpu", "20m"), nil), b(amounts("20m", "40Mi"), amounts("30m", "50Mi")), b(amounts("20m", "40Mi"), amounts("30m", "50Mi")),
				b(nil, nil), b(quantities("memory", "30Mi"), quantities("memory", "60Mi")), b(quantities("cpu", "20m"), quantities("cpu", "30m"))},
			b(quantities("cpu", "30m"), quantities("cpu", "60m")), b(amounts("30m", "50Mi"), amounts("40m", "60Mi")), b(amounts("10m", "30Mi"), amounts("20m", "45Mi")),
			b(quantities("cpu", "10m"), nil), b(quantities("memory", "40Mi"), quantities("memory", "80Mi")), b(quantities("cpu", "20m"), quantities("cpu", "30m")))},
		{name: "In-place Pod Resize, read and replace endpoints", run: resizeReplaced},
	}
}

func sized(f *fixture, before []corev1.ResourceRequirements) *corev1.Pod {
	p := f.sleeper("sized")
	c := p.Spec.Containers[0]
	p.Spec.Containers = nil
	for i, r := range before {
		c.Name, c.Resources = fmt.Sprintf("c%d", i+1), r
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return f.start(p)
}

// resized patches the pod's resize subresource and waits until the status tells the new sizes.
func resized(before []corev1.ResourceRequirements, after ...corev1.ResourceRequirements) func(*fixture) {
	return func(f *fixture) {
		sized(f, before)
		var list []map[string]any
		for i, r := range after {
			list = append(list, map[string]any{"name": fmt.Sprintf("c%d", i+1), "resources": r})
		}
		patch := must(json.Marshal(map[string]any{"spec": map[string]any{"containers": list}}))
		must(f.pods().Patch(f.ctx, "sized", types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "resize"))
		f.hasSizes(after)
	}
}

// hasSizes waits until spec and status say so, and no container was restarted.
func (f *fixture) hasSizes(want []corev1.ResourceRequirements) {
	f.Helper()
	f.eventually("the new sizes", func() error {
		p, err := f.pods().Get(f.ctx, "sized", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for i, w := range want {
			spec, c := p.Spec.Containers[i].Resources, p.Status.ContainerStatuses[i]
			if c.RestartCount != 0 || c.Resources == nil {
				return fmt.Errorf("%s", podState(p))
			}
			if !sameAmounts(spec.Requests, w.Requests) || !sameAmounts(spec.Limits, w.Limits) {
				return fmt.Errorf("spec of %s: %v, want %v", c.Name, spec, w)
			}
			if !sameAmounts(c.Resources.Requests, w.Requests) || !sameAmounts(c.Resources.Limits, w.Limits) {
				return fmt.Errorf("status of %s: %v, want %v; %v", c.Name, c.Resources, w, p.Status.Conditions)
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodResizeInProgress || c.Type == corev1.PodResizePending {
				return fmt.Errorf("condition %v", c)
			}
		}
		return nil
	})
}

// sameAmounts compares by value: 1000m is 1.
func sameAmounts(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for k, x := range a {
		y, ok := b[k]
		if !ok || x.Cmp(y) != 0 {
			return false
		}
	}
	return true
}

func resizeReplaced(f *fixture) {
	sized(f, []corev1.ResourceRequirements{{Requests: amounts("20m", "40Mi"), Limits: amounts("30m", "50Mi")}})
	want := corev1.ResourceRequirements{Requests: amounts("30m", "50Mi"), Limits: amounts("40m", "60Mi")}
	check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		p, err := f.pods().Get(f.ctx, "sized", metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Spec.Containers[0].Resources = want
		_, err = f.pods().UpdateResize(f.ctx, "sized", p, metav1.UpdateOptions{})
		return err
	}))
	f.hasSizes([]corev1.ResourceRequirements{want})
	f.eventually("both endpoints show the same pod", func() error {
		main, err := f.pods().Get(f.ctx, "sized", metav1.GetOptions{})
		if err != nil {
			return err
		}
		var sub corev1.Pod
		if err := f.kube.CoreV1().RESTClient().Get().Namespace(f.ns).Resource("pods").Name("sized").SubResource("resize").Do(f.ctx).Into(&sub); err != nil {
			return err
		}
		a, b := string(must(json.Marshal(main.Spec))), string(must(json.Marshal(sub.Spec)))
		return errUnless(a == b && main.UID == sub.UID, "%s\n%s", a, b)
	})
}

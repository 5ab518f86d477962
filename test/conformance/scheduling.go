package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func scheduling() []behaviour {
	return []behaviour{
		{name: "Scheduler, resource limits", run: tooBig},
		{name: "Scheduler, node selector matching", run: selectorMatches, serial: true},
		{name: "Scheduler, node selector not matching", run: selectorMismatch},
		{name: "Scheduling, HostPort and Protocol match, HostIPs different but one is default HostIP (0.0.0.0)", run: hostPortConflict},
		{name: "Scheduler, Verify PriorityClass endpoints", run: priorityClasses},
		{name: "PodDisruptionBudget: create, update, patch, and delete object", run: budgetCRUD},
		{name: "PodDisruptionBudget: list and delete collection", run: budgetCollection},
		{name: "PodDisruptionBudget: update and patch status", run: budgetStatus},
	}
}

// unschedulable waits until the scheduler says that a pod fits nowhere.
func (f *fixture) unschedulable(name string) {
	f.Helper()
	f.awaitPod(name, "is found unschedulable", func(p *corev1.Pod) bool {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				return p.Spec.NodeName == ""
			}
		}
		return false
	})
}

func tooBig(f *fixture) {
	most := int64(0)
	for _, n := range must(f.kube.CoreV1().Nodes().List(f.ctx, metav1.ListOptions{})).Items {
		most = max(most, n.Status.Allocatable.Cpu().MilliValue())
	}
	f.expect(most > 0, "no node has CPUs")
	f.create(f.sleeper("big", requests("cpu", fmt.Sprintf("%dm", most+1))))
	f.unschedulable("big")
}

func selectorMatches(f *fixture) {
	node := f.start(f.sleeper("finder")).Spec.NodeName
	c := f.kube.CoreV1().Nodes()
	key := "hyperkube.test/" + f.id
	set := func(ctx context.Context, value string) error {
		_, err := c.Patch(ctx, node, types.StrategicMergePatchType, []byte(fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, key, value)), metav1.PatchOptions{})
		return err
	}
	f.later(func(ctx context.Context) error { return set(ctx, "null") })
	check(set(f.ctx, `"42"`))
	p := f.start(f.sleeper("choosy", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{key: "42"} }))
	f.expect(p.Spec.NodeName == node, "placed on %s, want %s", p.Spec.NodeName, node)
}

func selectorMismatch(f *fixture) {
	f.create(f.sleeper("choosy", unplaced))
	f.unschedulable("choosy")
}

func hostPortConflict(f *fixture) {
	const port = 54322
	on := func(ip string) option {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: port, ContainerPort: 8080, HostIP: ip, Protocol: corev1.ProtocolTCP}}
		}
	}
	first := f.start(f.sleeper("first", on("0.0.0.0")))
	f.create(f.sleeper("second", on("127.0.0.1"), func(p *corev1.Pod) {
		p.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": first.Spec.NodeName}
	}))
	f.unschedulable("second")
}

func priorityClasses(f *fixture) {
	c, sel := f.kube.SchedulingV1().PriorityClasses(), metav1.ListOptions{LabelSelector: "test=" + f.id}
	f.later(func(ctx context.Context) error { return c.DeleteCollection(ctx, metav1.DeleteOptions{}, sel) })
	for i := range 2 {
		must(c.Create(f.ctx, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", f.id, i), Labels: map[string]string{"test": f.id}}, Value: int32(i + 1)}, metav1.CreateOptions{}))
	}
	l := must(c.List(f.ctx, sel)).Items
	f.expect(len(l) == 2, "%d classes are listed", len(l))
	for _, pc := range l {
		got := must(c.Patch(f.ctx, pc.Name, types.MergePatchType, []byte(`{"description":"patched"}`), metav1.PatchOptions{}))
		f.expect(got.Description == "patched", "the patch is lost")
		got.Description = "updated"
		got = must(c.Update(f.ctx, got, metav1.UpdateOptions{}))
		f.expect(got.Description == "updated", "the update is lost")
		got.Value *= 10
		_, err := c.Update(f.ctx, got, metav1.UpdateOptions{})
		f.fails(err, isInvalid, "updating the value")
		_, err = c.Patch(f.ctx, pc.Name, types.MergePatchType, []byte(`{"value":42}`), metav1.PatchOptions{})
		f.fails(err, isInvalid, "patching the value")
	}
}

func newBudget(f *fixture, name string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": f.id}},
		Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: to(intstr.FromString("1%")), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}}
}

func budgetCRUD(f *fixture) {
	c := f.kube.PolicyV1().PodDisruptionBudgets(f.ns)
	must(c.Create(f.ctx, newBudget(f, "one"), metav1.CreateOptions{}))
	f.eventually("the update", func() error {
		b, err := c.Get(f.ctx, "one", metav1.GetOptions{})
		if err != nil {
			return err
		}
		b.Spec.MinAvailable = to(intstr.FromString("2%"))
		_, err = c.Update(f.ctx, b, metav1.UpdateOptions{})
		return err
	})
	f.expect(must(c.Get(f.ctx, "one", metav1.GetOptions{})).Spec.MinAvailable.String() == "2%", "the update is lost")
	got := must(c.Patch(f.ctx, "one", types.StrategicMergePatchType, []byte(`{"spec":{"minAvailable":"3%"}}`), metav1.PatchOptions{}))
	f.expect(got.Spec.MinAvailable.String() == "3%", "the patch is lost")
	check(c.Delete(f.ctx, "one", metav1.DeleteOptions{}))
	_, err := c.Get(f.ctx, "one", metav1.GetOptions{})
	f.fails(err, apierrors.IsNotFound, "getting a deleted budget")
}

func budgetCollection(f *fixture) {
	other, sel := f.namespace(map[string]string{label: "true"}), metav1.ListOptions{LabelSelector: "test=" + f.id}
	for ns, names := range map[string][]string{f.ns: {"one", "two"}, other: {"three"}} {
		for _, n := range names {
			must(f.kube.PolicyV1().PodDisruptionBudgets(ns).Create(f.ctx, newBudget(f, n), metav1.CreateOptions{}))
		}
	}
	all := f.kube.PolicyV1().PodDisruptionBudgets("")
	f.expect(len(must(all.List(f.ctx, sel)).Items) == 3, "not all budgets are listed")
	check(f.kube.PolicyV1().PodDisruptionBudgets(f.ns).DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	left := must(all.List(f.ctx, sel)).Items
	f.expect(len(left) == 1 && left[0].Name == "three", "left: %d", len(left))
}

func budgetStatus(f *fixture) {
	c := f.kube.PolicyV1().PodDisruptionBudgets(f.ns)
	must(c.Create(f.ctx, newBudget(f, "one"), metav1.CreateOptions{}))
	f.eventually("the update of the status", func() error {
		b, err := c.Get(f.ctx, "one", metav1.GetOptions{})
		if err != nil {
			return err
		}
		b.Status.DisruptedPods = map[string]metav1.Time{"gone": {Time: time.Now()}}
		b, err = c.UpdateStatus(f.ctx, b, metav1.UpdateOptions{})
		if err == nil && len(b.Status.DisruptedPods) != 1 {
			err = errors.New("the update is lost")
		}
		return err
	})
	got := must(c.Patch(f.ctx, "one", types.MergePatchType, []byte(`{"status":{"disruptedPods":{"other":"2024-01-01T00:00:00Z"}}}`), metav1.PatchOptions{}, "status"))
	_, ok := got.Status.DisruptedPods["other"]
	f.expect(ok, "the patch is lost: %v", got.Status.DisruptedPods)
}

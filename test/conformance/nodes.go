package conformance

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func nodes() []behaviour {
	return []behaviour{
		{name: "Node, resource lifecycle", run: nodeLifecycle},
		{name: "lease API should be available", run: leases},
		{name: "Pod with the non-existing RuntimeClass is rejected.", run: runtimeClassMissing},
		{name: "Pod with the deleted RuntimeClass is rejected.", run: runtimeClassDeleted},
		{name: "Can schedule a pod requesting existing RuntimeClass.", run: runtimeClassScheduled(false)},
		{name: "RuntimeClass Overhead field must be respected.", run: runtimeClassScheduled(true)},
		{name: "Taint, Pod Eviction on taint removal", run: taintRemoved, serial: true},
		{name: "Pod Eviction, Toleration limits", run: tolerationLimits, serial: true},
	}
}

func nodeLifecycle(f *fixture) {
	c := f.kube.CoreV1().Nodes()
	sel := metav1.ListOptions{LabelSelector: "test=" + f.id}
	f.later(func(ctx context.Context) error { return c.DeleteCollection(ctx, metav1.DeleteOptions{}, sel) })
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: f.id, Labels: map[string]string{"test": f.id}}, Spec: corev1.NodeSpec{Unschedulable: true}}
	must(c.Create(f.ctx, n, metav1.CreateOptions{}))
	f.expect(must(c.Get(f.ctx, f.id, metav1.GetOptions{})).Name == f.id, "another node")
	got := must(c.Patch(f.ctx, f.id, types.MergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes", "the patch is lost")
	f.expect(len(must(c.List(f.ctx, sel)).Items) == 1, "the list does not find the node")
	f.eventually("the update", func() error {
		got, err := c.Get(f.ctx, f.id, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got.Labels["updated"] = "yes"
		got, err = c.Update(f.ctx, got, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		return errUnless(got.Labels["updated"] == "yes", "the label is lost")
	})
	check(c.Delete(f.ctx, f.id, metav1.DeleteOptions{}))
	f.eventually("the node is gone", func() error {
		_, err := c.Get(f.ctx, f.id, metav1.GetOptions{})
		return gone(err)
	})
}

func leases(f *fixture) {
	c := f.kube.CoordinationV1().Leases(f.ns)
	now := metav1.NewMicroTime(time.Now().Truncate(time.Microsecond))
	spec := coordinationv1.LeaseSpec{HolderIdentity: to("one"), LeaseDurationSeconds: to[int32](30), AcquireTime: &now, RenewTime: &now, LeaseTransitions: to[int32](0)}
	same := func(want coordinationv1.LeaseSpec) {
		f.Helper()
		got := must(c.Get(f.ctx, "first", metav1.GetOptions{})).Spec
		f.expect(*got.HolderIdentity == *want.HolderIdentity && *got.LeaseDurationSeconds == *want.LeaseDurationSeconds && got.RenewTime.Equal(want.RenewTime) && *got.LeaseTransitions == *want.LeaseTransitions,
			"spec %v, want %v", got, want)
	}
	must(c.Create(f.ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Spec: spec}, metav1.CreateOptions{}))
	same(spec)
	l := must(c.Get(f.ctx, "first", metav1.GetOptions{}))
	later := metav1.NewMicroTime(now.Add(5 * time.Second))
	spec = coordinationv1.LeaseSpec{HolderIdentity: to("two"), LeaseDurationSeconds: to[int32](45), AcquireTime: &later, RenewTime: &later, LeaseTransitions: to[int32](1)}
	l.Spec = spec
	must(c.Update(f.ctx, l, metav1.UpdateOptions{}))
	same(spec)
	spec.HolderIdentity, spec.LeaseDurationSeconds = to("three"), to[int32](60)
	must(c.Patch(f.ctx, "first", types.StrategicMergePatchType, []byte(`{"spec":{"holderIdentity":"three","leaseDurationSeconds":60}}`), metav1.PatchOptions{}))
	same(spec)
	must(c.Create(f.ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "second", Labels: map[string]string{"deletecollection": "true"}}}, metav1.CreateOptions{}))
	f.expect(len(must(c.List(f.ctx, metav1.ListOptions{})).Items) == 2, "not both leases are listed")
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "deletecollection=true"}))
	left := must(c.List(f.ctx, metav1.ListOptions{})).Items
	f.expect(len(left) == 1 && left[0].Name == "first", "wrong leases are left: %v", left)
	check(c.Delete(f.ctx, "first", metav1.DeleteOptions{}))
	_, err := c.Get(f.ctx, "first", metav1.GetOptions{})
	f.fails(err, apierrors.IsNotFound, "getting a deleted lease")
}

func withRuntimeClass(name string) option {
	return func(p *corev1.Pod) { p.Spec.RuntimeClassName = &name }
}

func runtimeClassMissing(f *fixture) {
	_, err := f.pods().Create(f.ctx, f.sleeper("pod", withRuntimeClass(f.id+"-none")), metav1.CreateOptions{})
	f.fails(err, apierrors.IsForbidden, "creating a pod of a class that does not exist")
}

func newRuntimeClass(f *fixture, overhead bool) {
	rc := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: f.id}, Handler: "conformance"}
	if overhead {
		rc.Overhead = &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("1Mi")}}
	}
	must(f.kube.NodeV1().RuntimeClasses().Create(f.ctx, rc, metav1.CreateOptions{}))
	f.later(func(ctx context.Context) error {
		return f.kube.NodeV1().RuntimeClasses().Delete(ctx, f.id, metav1.DeleteOptions{})
	})
}

func runtimeClassDeleted(f *fixture) {
	newRuntimeClass(f, false)
	check(f.kube.NodeV1().RuntimeClasses().Delete(f.ctx, f.id, metav1.DeleteOptions{}))
	f.eventually("the class is gone", func() error {
		_, err := f.kube.NodeV1().RuntimeClasses().Get(f.ctx, f.id, metav1.GetOptions{})
		return gone(err)
	})
	_, err := f.pods().Create(f.ctx, f.sleeper("pod", withRuntimeClass(f.id)), metav1.CreateOptions{})
	f.fails(err, apierrors.IsForbidden, "creating a pod of a deleted class")
}

// runtimeClassScheduled: the pod is placed, whether or not the runtime knows the handler.
func runtimeClassScheduled(overhead bool) func(*fixture) {
	return func(f *fixture) {
		newRuntimeClass(f, overhead)
		p := f.create(f.sleeper("pod", withRuntimeClass(f.id)))
		if overhead {
			f.expect(p.Spec.Overhead.Cpu().String() == "10m" && p.Spec.Overhead.Memory().String() == "1Mi", "overhead %v", p.Spec.Overhead)
		} else {
			f.expect(len(p.Spec.Overhead) == 0, "overhead %v", p.Spec.Overhead)
		}
		f.awaitPod("pod", "is scheduled", func(p *corev1.Pod) bool { return podCondition(p, corev1.PodScheduled) == corev1.ConditionTrue })
	}
}

// taint puts a NoExecute taint on a node and takes it off when the behaviour ends.
func taint(f *fixture, node string) (remove func()) {
	c := f.kube.CoreV1().Nodes()
	t := corev1.Taint{Key: "hyperkube.test/evict", Value: "yes", Effect: corev1.TaintEffectNoExecute}
	set := func(ctx context.Context, on bool) error {
		return poll(ctx, 20*time.Second, func() error {
			n, err := c.Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return err
			}
			var left []corev1.Taint
			for _, x := range n.Spec.Taints {
				if x.Key != t.Key {
					left = append(left, x)
				}
			}
			if on {
				left = append(left, t)
			}
			n.Spec.Taints = left
			_, err = c.Update(ctx, n, metav1.UpdateOptions{})
			return err
		})
	}
	f.later(func(ctx context.Context) error { return set(ctx, false) })
	check(set(f.ctx, true))
	return func() { check(set(f.ctx, false)) }
}

func tolerating(seconds int64) option {
	return func(p *corev1.Pod) {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "hyperkube.test/evict", Value: "yes", Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds})
	}
}

func taintRemoved(f *fixture) {
	p := f.start(f.sleeper("tolerant", tolerating(8)))
	remove := taint(f, p.Spec.NodeName)
	f.holds(2*time.Second, "the pod is tolerated", func() error { return notDeleted(f, "tolerant") })
	remove()
	f.holds(9*time.Second, "the pod stays after the taint was removed", func() error { return notDeleted(f, "tolerant") })
}

func notDeleted(f *fixture, name string) error {
	p, err := f.pods().Get(f.ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return errUnless(p.DeletionTimestamp == nil, "it is being deleted")
}

// tolerationLimits: the first pod is evicted when its time is up, before the second.
func tolerationLimits(f *fixture) {
	f.start(f.sleeper("short", tolerating(3)))
	p := f.start(f.sleeper("long", tolerating(12)))
	start := time.Now()
	taint(f, p.Spec.NodeName)
	evicted := func(name string) time.Duration {
		f.eventually("the eviction of "+name, func() error {
			if notDeleted(f, name) != nil {
				return nil
			}
			return errUnless(false, "it is still there")
		})
		return time.Since(start)
	}
	short := evicted("short")
	check(notDeleted(f, "long"))
	long := evicted("long")
	f.expect(short >= 2*time.Second && long >= 11*time.Second, "evicted after %s and %s, want 3s and 12s", short, long)
}

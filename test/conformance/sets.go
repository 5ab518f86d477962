package conformance

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedappsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	"k8s.io/client-go/util/retry"
)

// sets: daemon sets, stateful sets and their revisions.
func sets() []behaviour {
	return []behaviour{
		{name: "DaemonSet-Creation", run: daemonCreated},
		{name: "DaemonSet-NodeSelection", run: daemonSelects, serial: true},
		{name: "DaemonSet-FailedPodCreation", run: daemonReplacesFailed},
		{name: "DaemonSet-RollingUpdate", run: daemonRolls},
		{name: "DaemonSet-Rollback", run: daemonRollsBack},
		{name: "DaemonSet, list and delete a collection of DaemonSets", run: daemonCollection},
		{name: "DaemonSet, status sub-resource", run: statusOf("daemonsets", makeDaemonSet)},
		{name: "ControllerRevision, resource lifecycle", run: revisionLifecycle},
		{name: "StatefulSet, Scaling", run: statefulScales(appsv1.OrderedReadyPodManagement)},
		{name: "StatefulSet, Burst Scaling", run: statefulScales(appsv1.ParallelPodManagement)},
		{name: "StatefulSet, Recreate Failed Pod", run: statefulRecreates},
		{name: "StatefulSet resource Replica scaling", run: scaleOf("statefulsets", func(f *fixture) { makeStateful(f, 1) })},
		{name: "StatefulSet, list, patch and delete a collection of StatefulSets", run: statefulCollection},
		{name: "StatefulSet, Rolling Update", run: statefulRolls},
		{name: "StatefulSet, Rolling Update with Partition", run: statefulPartition},
		{name: "StatefulSet, status sub-resource", run: statusOf("statefulsets", func(f *fixture) { makeStateful(f, 1) })},
	}
}

func (f *fixture) daemons() typedappsv1.DaemonSetInterface { return f.kube.AppsV1().DaemonSets(f.ns) }

func newDaemonSet(f *fixture) *appsv1.DaemonSet {
	d := newDeployment(f, "web", 1)
	return &appsv1.DaemonSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
}

func makeDaemonSet(f *fixture) {
	must(f.daemons().Create(f.ctx, newDaemonSet(f), metav1.CreateOptions{}))
}

// places is how many nodes a daemon set without tolerations of its own runs on.
func (f *fixture) places() int {
	n := 0
	for _, node := range must(f.kube.CoreV1().Nodes().List(f.ctx, metav1.ListOptions{})).Items {
		refused := slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key != corev1.TaintNodeUnschedulable && t.Effect != corev1.TaintEffectPreferNoSchedule
		})
		if !refused {
			n++
		}
	}
	return n
}

func daemonCreated(f *fixture) {
	makeDaemonSet(f)
	n := f.places()
	pods := f.awaitReady("web", n)
	check(f.pods().Delete(f.ctx, pods[0].Name, metav1.DeleteOptions{}))
	f.eventually("the deleted pod is replaced", func() error {
		_, err := f.pods().Get(f.ctx, pods[0].Name, metav1.GetOptions{})
		return gone(err)
	})
	f.awaitReady("web", n)
}

func daemonSelects(f *fixture) {
	key := "hyperkube.test/" + f.id
	ds := newDaemonSet(f)
	ds.Spec.Template.Spec.NodeSelector = map[string]string{key: "blue"}
	must(f.daemons().Create(f.ctx, ds, metav1.CreateOptions{}))
	f.eventually("the daemon set is seen", func() error {
		d, err := f.daemons().Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(d.Status.ObservedGeneration == d.Generation && d.Status.DesiredNumberScheduled == 0, "status %+v", d.Status)
	})
	f.awaitPods("web", 0)
	node := f.start(f.sleeper("finder")).Spec.NodeName
	set := func(ctx context.Context, value string) error {
		_, err := f.kube.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, key, value)), metav1.PatchOptions{})
		return err
	}
	f.later(func(ctx context.Context) error { return set(ctx, "null") })
	check(set(f.ctx, `"blue"`))
	p := f.awaitReady("web", 1)[0]
	f.expect(p.Spec.NodeName == node, "placed on %s, want %s", p.Spec.NodeName, node)
	check(set(f.ctx, `"green"`))
	f.awaitPods("web", 0)
	must(f.daemons().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(fmt.Sprintf(`{"spec":{"template":{"spec":{"nodeSelector":{%q:"green"}}},"updateStrategy":{"type":"RollingUpdate"}}}`, key)), metav1.PatchOptions{}))
	f.awaitReady("web", 1)
}

func daemonReplacesFailed(f *fixture) {
	makeDaemonSet(f)
	n := f.places()
	p := f.awaitReady("web", n)[0]
	check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		live, err := f.pods().Get(f.ctx, p.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		live.Status.Phase = corev1.PodFailed
		_, err = f.pods().UpdateStatus(f.ctx, live, metav1.UpdateOptions{})
		return err
	}))
	f.eventually("the failed pod is gone", func() error {
		_, err := f.pods().Get(f.ctx, p.Name, metav1.GetOptions{})
		return gone(err)
	})
	f.awaitReady("web", n)
}

// change patches a set's pods to another version.
const changeTemplate = `{"spec":{"template":{"metadata":{"annotations":{"version":"2"}}}}}`

func (f *fixture) awaitVersion(version string, want int) {
	f.Helper()
	f.eventually(fmt.Sprintf("%d ready pods of version %q", want, version), func() error {
		pods, err := f.podsOf("web")
		if err != nil {
			return err
		}
		n := 0
		for i := range pods {
			if pods[i].Annotations["version"] == version && podReady(&pods[i]) && pods[i].DeletionTimestamp == nil {
				n++
			}
		}
		return errUnless(n == want && len(pods) == want, "%d of %d", n, len(pods))
	})
}

func daemonRolls(f *fixture) {
	makeDaemonSet(f)
	n := f.places()
	f.awaitReady("web", n)
	must(f.daemons().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(changeTemplate), metav1.PatchOptions{}))
	f.awaitVersion("2", n)
	l := must(f.kube.AppsV1().ControllerRevisions(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})).Items
	f.expect(len(l) == 2, "%d revisions, want 2", len(l))
}

// daemonRollsBack: pods that the bad update has not replaced are not restarted.
func daemonRollsBack(f *fixture) {
	makeDaemonSet(f)
	n := f.places()
	before := map[types.UID]bool{}
	for _, p := range f.awaitReady("web", n) {
		before[p.UID] = true
	}
	must(f.daemons().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"none.invalid/none:404"}]}}}}`), metav1.PatchOptions{}))
	kept := map[types.UID]bool{}
	f.eventually("a pod of the bad update", func() error {
		pods, err := f.podsOf("web")
		if err != nil {
			return err
		}
		bad := false
		clear(kept)
		for _, p := range pods {
			bad = bad || p.Spec.Containers[0].Image == "none.invalid/none:404"
			if before[p.UID] && p.DeletionTimestamp == nil {
				kept[p.UID] = true
			}
		}
		return errUnless(bad, "none yet")
	})
	must(f.daemons().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q}]}}}}`, f.images.nettool)), metav1.PatchOptions{}))
	f.eventually("all pods are back", func() error {
		pods, err := f.podsOf("web")
		if err != nil {
			return err
		}
		good := 0
		for i := range pods {
			if podReady(&pods[i]) && pods[i].Spec.Containers[0].Image == f.images.nettool {
				good++
			}
			delete(kept, pods[i].UID)
		}
		return errUnless(good == n && len(pods) == n, "%d of %d", good, len(pods))
	})
	f.expect(len(kept) == 0, "%d good pods were restarted by the rollback", len(kept))
}

func daemonCollection(f *fixture) {
	makeDaemonSet(f)
	f.awaitReady("web", f.places())
	sel := metav1.ListOptions{LabelSelector: "app=web"}
	f.expect(len(must(f.daemons().List(f.ctx, sel)).Items) == 1, "the daemon set is not listed")
	check(f.daemons().DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.expect(len(must(f.daemons().List(f.ctx, sel)).Items) == 0, "the deleted daemon set is listed")
	f.awaitPods("web", 0)
}

func revisionLifecycle(f *fixture) {
	makeDaemonSet(f)
	f.awaitReady("web", f.places())
	c := f.kube.AppsV1().ControllerRevisions(f.ns)
	list := func(want int) []appsv1.ControllerRevision {
		f.Helper()
		var items []appsv1.ControllerRevision
		f.eventually(fmt.Sprintf("%d revisions", want), func() error {
			l, err := c.List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})
			if err != nil {
				return err
			}
			items = l.Items
			return errUnless(len(items) == want, "%d revisions", len(items))
		})
		return items
	}
	first := list(1)[0]
	got := must(c.Patch(f.ctx, first.Name, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes", "the patch is lost")
	second := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: f.id, Labels: map[string]string{"app": "web"}, OwnerReferences: first.OwnerReferences}, Data: first.Data, Revision: first.Revision + 1}
	must(c.Create(f.ctx, second, metav1.CreateOptions{}))
	list(2)
	check(c.Delete(f.ctx, first.Name, metav1.DeleteOptions{}))
	f.eventually("the deleted revision is gone or made anew", func() error {
		r, err := c.Get(f.ctx, first.Name, metav1.GetOptions{})
		if err == nil && r.UID != first.UID {
			return nil
		}
		return gone(err)
	})
	must(f.daemons().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(changeTemplate), metav1.PatchOptions{}))
	f.awaitVersion("2", f.places())
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=web,!controller-revision-hash"}))
	f.eventually("the revision made by hand is gone", func() error {
		_, err := c.Get(f.ctx, second.Name, metav1.GetOptions{})
		return gone(err)
	})
}

func (f *fixture) stateful() typedappsv1.StatefulSetInterface {
	return f.kube.AppsV1().StatefulSets(f.ns)
}

func newStateful(f *fixture, replicas int32) *appsv1.StatefulSet {
	d := newDeployment(f, "web", replicas)
	// Ready by a file that a behaviour can take away.
	spec := f.sleeper("x").Spec
	spec.Containers[0].Image, spec.Containers[0].Args = f.images.busybox, nil
	spec.Containers[0].Command = []string{"sh", "-c", "touch /tmp/ready; exec sleep 100000"}
	spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/tmp/ready"}}}}
	spec.TerminationGracePeriodSeconds = to[int64](0)
	d.Spec.Template.Spec = spec
	return &appsv1.StatefulSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: d.Spec.Selector, Template: d.Spec.Template, ServiceName: "web"}}
}

func makeStateful(f *fixture, replicas int32) {
	h := newService("web", map[string]string{"app": "web"}, corev1.ServicePort{Port: 80})
	h.Spec.ClusterIP = corev1.ClusterIPNone
	f.createService(h)
	must(f.stateful().Create(f.ctx, newStateful(f, replicas), metav1.CreateOptions{}))
}

func (f *fixture) scaleStateful(replicas int) {
	f.Helper()
	must(f.stateful().Patch(f.ctx, "web", types.MergePatchType, []byte(fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)), metav1.PatchOptions{}))
}

// statefulScales: ordered, an unready pod halts scaling; in parallel it does not.
func statefulScales(policy appsv1.PodManagementPolicyType) func(*fixture) {
	return func(f *fixture) {
		ordered := policy == appsv1.OrderedReadyPodManagement
		w := must(f.pods().Watch(f.ctx, metav1.ListOptions{LabelSelector: "app=web"}))
		defer w.Stop()
		ss := newStateful(f, 1)
		ss.Spec.PodManagementPolicy = policy
		must(f.stateful().Create(f.ctx, ss, metav1.CreateOptions{}))
		f.awaitReady("web", 1)
		f.mustExec("web-0", "rm", "/tmp/ready")
		f.awaitPod("web-0", "is unready", func(p *corev1.Pod) bool { return !podReady(p) })
		f.scaleStateful(3)
		if ordered {
			f.holds(quietSpan/2, "an unready pod halts scaling", func() error {
				pods, err := f.podsOf("web")
				return errUnless(err == nil && len(pods) == 1, "%d pods, %v", len(pods), err)
			})
		} else {
			f.awaitPods("web", 3)
		}
		f.mustExec("web-0", "touch", "/tmp/ready")
		f.awaitReady("web", 3)
		for i := range 3 {
			f.await(w, watch.Added, fmt.Sprintf("web-%d", i))
		}
		f.scaleStateful(0)
		order := []string{"web-2", "web-1", "web-0"}
		if ordered {
			for _, name := range order {
				f.await(w, watch.Deleted, name)
			}
		}
		f.awaitPods("web", 0)
	}
}

// statefulRecreates: a pod that failed, because its port was taken, is made again.
func statefulRecreates(f *fixture) {
	const port = 54324
	use := func(p *corev1.PodSpec) {
		p.Containers[0].Ports = []corev1.ContainerPort{{HostPort: port, ContainerPort: port}}
	}
	first := f.start(f.sleeper("taker", func(p *corev1.Pod) { use(&p.Spec) }))
	ss := newStateful(f, 1)
	use(&ss.Spec.Template.Spec)
	// Not by the scheduler, which would wait: the node itself refuses the pod.
	ss.Spec.Template.Spec.NodeName = first.Spec.NodeName
	w := must(f.pods().Watch(f.ctx, metav1.ListOptions{LabelSelector: "app=web"}))
	defer w.Stop()
	must(f.stateful().Create(f.ctx, ss, metav1.CreateOptions{}))
	uid := f.await(w, watch.Added, "web-0").(*corev1.Pod).UID
	f.await(w, watch.Deleted, "web-0")
	check(f.pods().Delete(f.ctx, "taker", metav1.DeleteOptions{GracePeriodSeconds: to[int64](0)}))
	got := f.awaitPod("web-0", "is ready in the end", podReady)
	f.expect(got.UID != uid, "the failed pod was not replaced")
}

func statefulCollection(f *fixture) {
	makeStateful(f, 1)
	f.awaitReady("web", 1)
	got := must(f.stateful().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"spec":{"replicas":2,"template":{"metadata":{"annotations":{"version":"2"}}}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes" && *got.Spec.Replicas == 2, "the patch is lost")
	f.awaitVersion("2", 2)
	sel := metav1.ListOptions{LabelSelector: "patched=yes"}
	f.expect(len(must(f.stateful().List(f.ctx, sel)).Items) == 1, "the set is not listed")
	check(f.stateful().DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.eventually("the set is gone", func() error {
		l, err := f.stateful().List(f.ctx, sel)
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 0, "%d sets", len(l.Items))
	})
}

// statefulRolls: forth and back, the highest pod first.
func statefulRolls(f *fixture) {
	makeStateful(f, 3)
	f.awaitReady("web", 3)
	roll := func(patch, version string) {
		w := must(f.pods().Watch(f.ctx, metav1.ListOptions{LabelSelector: "app=web", ResourceVersion: must(f.pods().List(f.ctx, metav1.ListOptions{})).ResourceVersion}))
		defer w.Stop()
		must(f.stateful().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))
		for _, name := range []string{"web-2", "web-1", "web-0"} {
			f.await(w, watch.Deleted, name)
		}
		f.awaitVersion(version, 3)
	}
	roll(changeTemplate, "2")
	roll(`{"spec":{"template":{"metadata":{"annotations":{"version":null}}}}}`, "")
	f.eventually("the revisions of the status", func() error {
		s, err := f.stateful().Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(s.Status.CurrentRevision == s.Status.UpdateRevision && s.Status.UpdatedReplicas == 3, "status %+v", s.Status)
	})
}

// statefulPartition: only pods from the partition on are updated, also when one is made anew.
func statefulPartition(f *fixture) {
	ss := newStateful(f, 3)
	ss.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: to[int32](3)}}
	must(f.stateful().Create(f.ctx, ss, metav1.CreateOptions{}))
	f.awaitReady("web", 3)
	must(f.stateful().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(changeTemplate), metav1.PatchOptions{}))
	versions := func(want ...string) {
		f.Helper()
		f.eventually(fmt.Sprintf("versions %q", want), func() error {
			pods, err := f.podsOf("web")
			if err != nil {
				return err
			}
			got := make([]string, 3)
			for i := range pods {
				if podReady(&pods[i]) && pods[i].DeletionTimestamp == nil {
					got[pods[i].Name[len("web-")]-'0'] = "v" + pods[i].Annotations["version"]
				}
			}
			return errUnless(slices.Equal(got, want), "they are %q", got)
		})
	}
	f.eventually("the update is seen", func() error {
		s, err := f.stateful().Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(s.Status.ObservedGeneration == s.Generation && s.Status.CurrentRevision != s.Status.UpdateRevision, "status %+v", s.Status)
	})
	versions("v", "v", "v")
	part := func(n int) {
		must(f.stateful().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(fmt.Sprintf(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":%d}}}}`, n)), metav1.PatchOptions{}))
	}
	part(2)
	versions("v", "v", "v2")
	for _, name := range []string{"web-0", "web-2"} { // each comes back as it was
		check(f.pods().Delete(f.ctx, name, metav1.DeleteOptions{}))
	}
	versions("v", "v", "v2")
	part(0)
	versions("v2", "v2", "v2")
}

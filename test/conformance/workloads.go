package conformance

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
)

func workloads() []behaviour {
	return []behaviour{
		{name: "Deployment RollingUpdate", run: deploymentRolls(appsv1.RollingUpdateDeploymentStrategyType)},
		{name: "Deployment Recreate", run: deploymentRolls(appsv1.RecreateDeploymentStrategyType)},
		{name: "Deployment RevisionHistoryLimit", run: deploymentHistory},
		{name: "Deployment Proportional Scaling", run: deploymentProportional},
		{name: "Deployment Rollover", run: deploymentRollover},
		{name: "Deployment, completes the lifecycle of a Deployment", run: deploymentLifecycle},
		{name: "Deployment, completes the scaling of a Deployment subresource", run: scaleOf("deployments", func(f *fixture) {
			must(f.deployments().Create(f.ctx, newDeployment(f, "web", 1), metav1.CreateOptions{}))
		})},
		{name: "Deployment, status sub-resource", run: statusOf("deployments", func(f *fixture) {
			must(f.deployments().Create(f.ctx, newDeployment(f, "web", 1), metav1.CreateOptions{}))
		})},
		{name: "ReplicaSet, completes the scaling of a ReplicaSet subresource", run: scaleOf("replicasets", makeReplicaSet)},
		{name: "ReplicaSet, status sub-resource", run: statusOf("replicasets", makeReplicaSet)},
		{name: "ReplicaSet, is created, Replaced and Patched", run: replicaSetReplaced},
		{name: "ReplicaSet, list and delete a collection of ReplicaSets", run: replicaSetCollection},
		{name: "Replica Set, run basic image", run: replicaSetServes},
		{name: "Replica Set, adopt matching pods and release non matching pods", run: replicaSetAdopts},
		{name: "Replication Controller, run basic image", run: controllerServes},
		{name: "Replication Controller, adopt matching pods", run: controllerAdopts},
		{name: "Replication Controller, release pods", run: controllerReleases},
		{name: "Replication Controller, get and update ReplicationController scale", run: controllerScale},
		{name: "Replication Controller, check for issues like exceeding allocated quota", run: controllerQuota},
		{name: "Replication Controller, lifecycle", run: controllerLifecycle},
	}
}

func makeReplicaSet(f *fixture) {
	must(f.kube.AppsV1().ReplicaSets(f.ns).Create(f.ctx, newReplicaSet(f, "web", 1), metav1.CreateOptions{}))
}

func (f *fixture) changeDeployment(name string, change func(*appsv1.Deployment)) {
	f.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		d, err := f.deployments().Get(f.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(d)
		_, err = f.deployments().Update(f.ctx, d, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		f.Fatalf("updating deployment %s: %v", name, err)
	}
}

// rolledOut waits until the deployment has what it wants and nothing else.
func (f *fixture) rolledOut(name string) *appsv1.Deployment {
	f.Helper()
	var d *appsv1.Deployment
	f.eventually("deployment "+name+" rolls out", func() (err error) {
		if d, err = f.deployments().Get(f.ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		s, want := d.Status, *d.Spec.Replicas
		return errUnless(s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want, "status %+v", s)
	})
	return d
}

// deploymentRolls: the pods of an old replica set are replaced, each strategy in its order.
func deploymentRolls(strategy appsv1.DeploymentStrategyType) func(*fixture) {
	return func(f *fixture) {
		d := newDeployment(f, "web", 2)
		d.Spec.Strategy.Type = strategy
		must(f.deployments().Create(f.ctx, d, metav1.CreateOptions{}))
		f.rolledOut("web")
		w := must(f.pods().Watch(f.ctx, metav1.ListOptions{LabelSelector: "app=web", ResourceVersion: must(f.pods().List(f.ctx, metav1.ListOptions{})).ResourceVersion}))
		defer w.Stop()
		f.changeDeployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Annotations = map[string]string{"version": "2"} })
		f.rolledOut("web")
		gone, fresh := map[string]bool{}, 0 // an old pod whose containers have ended counts as gone
		for len(gone) < 2 || fresh < 2 {
			e := f.next(w, "events of pods")
			p := e.Object.(*corev1.Pod)
			isNew := p.Annotations["version"] == "2"
			switch {
			case e.Type == watch.Added && isNew:
				fresh++
				f.expect(strategy != appsv1.RecreateDeploymentStrategyType || len(gone) == 2, "a new pod came while %d old ones ran", 2-len(gone))
			case !isNew && (e.Type == watch.Deleted || podEnded(p)):
				gone[p.Name] = true
				f.expect(strategy == appsv1.RecreateDeploymentStrategyType || fresh > 0, "an old pod went before a new one came")
			}
		}
		sets := must(f.kube.AppsV1().ReplicaSets(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})).Items
		f.expect(len(sets) == 2, "%d replica sets, want the old and the new", len(sets))
	}
}

func deploymentHistory(f *fixture) {
	d := newDeployment(f, "web", 1)
	d.Spec.RevisionHistoryLimit = to[int32](0)
	must(f.deployments().Create(f.ctx, d, metav1.CreateOptions{}))
	f.rolledOut("web")
	f.changeDeployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Annotations = map[string]string{"version": "2"} })
	f.rolledOut("web")
	f.eventually("the old replica set is gone", func() error {
		l, err := f.kube.AppsV1().ReplicaSets(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 1, "%d replica sets", len(l.Items))
	})
}

// deploymentProportional: a stuck rollout is scaled in proportion to its replica sets.
func deploymentProportional(f *fixture) {
	d := newDeployment(f, "web", 10)
	d.Spec.Template.Spec = f.sleeper("x").Spec
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
		MaxSurge: to(intstr.FromInt32(3)), MaxUnavailable: to(intstr.FromInt32(2))}}
	must(f.deployments().Create(f.ctx, d, metav1.CreateOptions{}))
	first := f.rolledOut("web").Annotations["deployment.kubernetes.io/revision"]
	f.expect(first == "1", "revision %q", first)
	f.changeDeployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "none.invalid/none:404" })
	sizes := func(old, fresh int32) {
		f.Helper()
		f.eventually(fmt.Sprintf("replica sets of %d and %d", old, fresh), func() error {
			l, err := f.kube.AppsV1().ReplicaSets(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})
			if err != nil {
				return err
			}
			got := map[string]int32{}
			for _, rs := range l.Items {
				got[rs.Annotations["deployment.kubernetes.io/revision"]] = *rs.Spec.Replicas
			}
			return errUnless(got["1"] == old && got["2"] == fresh, "by revision: %v", got)
		})
	}
	sizes(8, 5)
	f.changeDeployment("web", func(d *appsv1.Deployment) { d.Spec.Replicas = to[int32](30) })
	sizes(20, 13)
}

// deploymentRollover: a change in the middle of a rollout abandons it.
func deploymentRollover(f *fixture) {
	d := newDeployment(f, "web", 2)
	must(f.deployments().Create(f.ctx, d, metav1.CreateOptions{}))
	f.rolledOut("web")
	f.changeDeployment("web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "none.invalid/none:404" })
	f.eventually("the second revision begins", func() error {
		l, err := f.kube.AppsV1().ReplicaSets(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 2, "%d replica sets", len(l.Items))
	})
	f.changeDeployment("web", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = f.images.nettool
		d.Spec.Template.Annotations = map[string]string{"version": "3"}
	})
	f.rolledOut("web")
	for _, rs := range must(f.kube.AppsV1().ReplicaSets(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})).Items {
		want := int32(0)
		if rs.Spec.Template.Annotations["version"] == "3" {
			want = 2
		}
		f.expect(*rs.Spec.Replicas == want, "replica set %s has %d, want %d", rs.Name, *rs.Spec.Replicas, want)
	}
}

func deploymentLifecycle(f *fixture) {
	sel := metav1.ListOptions{LabelSelector: "app=web"}
	w := must(f.deployments().Watch(f.ctx, sel))
	defer w.Stop()
	must(f.deployments().Create(f.ctx, newDeployment(f, "web", 2), metav1.CreateOptions{}))
	f.await(w, watch.Added, "web")
	f.rolledOut("web")
	must(f.deployments().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"spec":{"replicas":1,"template":{"spec":{"terminationGracePeriodSeconds":1}}}}`), metav1.PatchOptions{}))
	d := f.rolledOut("web")
	f.expect(d.Labels["patched"] == "yes" && *d.Spec.Replicas == 1, "the patch is lost")
	f.expect(len(must(f.kube.AppsV1().Deployments("").List(f.ctx, metav1.ListOptions{LabelSelector: "app=web,patched=yes"})).Items) >= 1, "the deployment is not listed in all namespaces")
	scale := must(f.deployments().GetScale(f.ctx, "web", metav1.GetOptions{}))
	scale.Spec.Replicas = 2
	f.scaleTo("web", 2)
	f.rolledOut("web")
	got := must(f.deployments().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"metadata":{"annotations":{"status":"patched"}},"status":{"readyReplicas":2}}`), metav1.PatchOptions{}, "status"))
	f.expect(got.Status.ReadyReplicas == 2, "the patch of the status is lost")
	f.eventually("the update of the status", func() error {
		d, err := f.deployments().Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, err = f.deployments().UpdateStatus(f.ctx, d, metav1.UpdateOptions{})
		return err
	})
	check(f.deployments().DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.await(w, watch.Deleted, "web")
}

func (f *fixture) scaleTo(name string, replicas int32) {
	f.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		s, err := f.deployments().GetScale(f.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s.Spec.Replicas = replicas
		_, err = f.deployments().UpdateScale(f.ctx, name, s, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		f.Fatalf("scaling %s: %v", name, err)
	}
}

// scaleOf takes the scale subresource of a workload named web through its verbs.
func scaleOf(plural string, make func(*fixture)) func(*fixture) {
	return func(f *fixture) {
		make(f)
		f.awaitReady("web", 1)
		c := f.kube.AppsV1().RESTClient()
		var s autoscalingv1.Scale
		read := func() {
			check(c.Get().Namespace(f.ns).Resource(plural).Name("web").SubResource("scale").Do(f.ctx).Into(&s))
		}
		read()
		f.expect(s.Spec.Replicas == 1 && strings.Contains(s.Status.Selector, "app=web"), "scale %+v %+v", s.Spec, s.Status)
		check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			read()
			s.ResourceVersion, s.Spec.Replicas = "", 2
			return c.Put().Namespace(f.ns).Resource(plural).Name("web").SubResource("scale").Body(&s).Do(f.ctx).Into(&s)
		}))
		f.expect(s.Spec.Replicas == 2, "updated to %d", s.Spec.Replicas)
		f.awaitPods("web", 2)
		check(c.Patch(types.MergePatchType).Namespace(f.ns).Resource(plural).Name("web").SubResource("scale").Body([]byte(`{"spec":{"replicas":4}}`)).Do(f.ctx).Into(&s))
		f.expect(s.Spec.Replicas == 4, "patched to %d", s.Spec.Replicas)
		f.awaitPods("web", 4)
	}
}

// awaitReady waits for so many ready pods of an app.
func (f *fixture) awaitReady(app string, want int) []corev1.Pod {
	f.Helper()
	var pods []corev1.Pod
	f.eventually(fmt.Sprintf("%d ready pods of %s", want, app), func() (err error) {
		if pods, err = f.podsOf(app); err != nil {
			return err
		}
		ready := 0
		for i := range pods {
			if podReady(&pods[i]) && pods[i].DeletionTimestamp == nil {
				ready++
			}
		}
		return errUnless(ready == want && len(pods) == want, "%d ready of %d", ready, len(pods))
	})
	return pods
}

// statusOf: the status of a workload named web can be read, patched and updated, and is seen.
func statusOf(plural string, make func(*fixture)) func(*fixture) {
	return func(f *fixture) {
		make(f)
		f.awaitReady("web", 1)
		res := f.dynamic.Resource(v1("apps", plural)).Namespace(f.ns)
		w := must(res.Watch(f.ctx, metav1.ListOptions{LabelSelector: "app=web"}))
		defer w.Stop()
		o := operations{statusField: []string{"status", "conditions"},
			status: `status: {conditions: [{type: StatusUpdate, status: "True", reason: E2E, message: "set by conformance"}]}`}
		o.patchStatus(f, res, must(res.Get(f.ctx, "web", metav1.GetOptions{}, "status")))
		f.await(w, watch.Modified, "web")
	}
}

func replicaSetReplaced(f *fixture) {
	c := f.kube.AppsV1().ReplicaSets(f.ns)
	makeReplicaSet(f)
	f.awaitReady("web", 1)
	check(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		rs, err := c.Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		rs.Spec.Replicas = to[int32](2)
		_, err = c.Update(f.ctx, rs, metav1.UpdateOptions{})
		return err
	}))
	f.awaitReady("web", 2)
	got := must(c.Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"spec":{"replicas":3,"template":{"spec":{"terminationGracePeriodSeconds":1}}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes" && *got.Spec.Replicas == 3, "the patch is lost")
	f.awaitReady("web", 3)
}

func replicaSetCollection(f *fixture) {
	c := f.kube.AppsV1().ReplicaSets(f.ns)
	must(c.Create(f.ctx, newReplicaSet(f, "web", 2), metav1.CreateOptions{}))
	f.awaitReady("web", 2)
	f.expect(len(must(c.List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})).Items) == 1, "the replica set is not listed")
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=web"}))
	f.expect(len(must(c.List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})).Items) == 0, "the deleted replica set is listed")
	f.awaitPods("web", 0)
}

// serving: each pod answers with its own name.
func serving(f *fixture, want int) {
	for _, p := range f.awaitReady("web", want) {
		f.eventually("an answer of "+p.Name, func() error {
			got, err := f.viaPod(p.Name, "hostname")
			if err != nil {
				return err
			}
			return errUnless(got == p.Name, "%s answers %q", p.Name, got)
		})
	}
}

func replicaSetServes(f *fixture) {
	must(f.kube.AppsV1().ReplicaSets(f.ns).Create(f.ctx, newReplicaSet(f, "web", 2), metav1.CreateOptions{}))
	serving(f, 2)
}

func servingController(f *fixture, replicas int32) *corev1.ReplicationController {
	rc := newController(f, "web", replicas)
	rc.Spec.Template.Spec = f.server("x").Spec
	return rc
}

func controllerServes(f *fixture) {
	must(f.kube.CoreV1().ReplicationControllers(f.ns).Create(f.ctx, servingController(f, 2), metav1.CreateOptions{}))
	serving(f, 2)
}

// adopted waits until the pod has that controller, or none.
func (f *fixture) adopted(pod, kind string) {
	f.Helper()
	f.awaitPod(pod, "has controller "+kind, func(p *corev1.Pod) bool {
		o := metav1.GetControllerOf(p)
		return kind == "" && o == nil || o != nil && o.Kind == kind
	})
}

func replicaSetAdopts(f *fixture) {
	f.create(f.sleeper("orphan", withLabels(map[string]string{"app": "web"})))
	must(f.kube.AppsV1().ReplicaSets(f.ns).Create(f.ctx, newReplicaSet(f, "web", 1), metav1.CreateOptions{}))
	f.adopted("orphan", "ReplicaSet")
	must(f.pods().Patch(f.ctx, "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`), metav1.PatchOptions{}))
	f.adopted("orphan", "")
}

func controllerAdopts(f *fixture) {
	f.create(f.sleeper("orphan", withLabels(map[string]string{"app": "web"})))
	must(f.kube.CoreV1().ReplicationControllers(f.ns).Create(f.ctx, servingController(f, 1), metav1.CreateOptions{}))
	f.adopted("orphan", "ReplicationController")
}

func controllerReleases(f *fixture) {
	must(f.kube.CoreV1().ReplicationControllers(f.ns).Create(f.ctx, servingController(f, 1), metav1.CreateOptions{}))
	pod := f.awaitPods("web", 1)[0].Name
	must(f.pods().Patch(f.ctx, pod, types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"other"}}}`), metav1.PatchOptions{}))
	f.adopted(pod, "")
}

func controllerScale(f *fixture) {
	c := f.kube.CoreV1().ReplicationControllers(f.ns)
	must(c.Create(f.ctx, servingController(f, 1), metav1.CreateOptions{}))
	f.awaitPods("web", 1)
	s := must(c.GetScale(f.ctx, "web", metav1.GetOptions{}))
	f.expect(s.Spec.Replicas == 1, "scale %d", s.Spec.Replicas)
	s.ResourceVersion, s.Spec.Replicas = "", 2
	s = must(c.UpdateScale(f.ctx, "web", s, metav1.UpdateOptions{}))
	f.expect(s.Spec.Replicas == 2, "updated to %d", s.Spec.Replicas)
	f.awaitPods("web", 2)
}

func controllerQuota(f *fixture) {
	c := f.kube.CoreV1().ReplicationControllers(f.ns)
	f.quota("q", quantities("pods", "2"))
	f.uses("q", "pods", "0")
	must(c.Create(f.ctx, newController(f, "many", 3), metav1.CreateOptions{}))
	failure := func() (*corev1.ReplicationControllerCondition, error) {
		rc, err := c.Get(f.ctx, "many", metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for i := range rc.Status.Conditions {
			if rc.Status.Conditions[i].Type == corev1.ReplicationControllerReplicaFailure {
				return &rc.Status.Conditions[i], nil
			}
		}
		return nil, nil
	}
	f.eventually("the failure is told", func() error {
		x, err := failure()
		if err != nil {
			return err
		}
		return errUnless(x != nil && x.Status == corev1.ConditionTrue, "no condition")
	})
	s := must(c.GetScale(f.ctx, "many", metav1.GetOptions{}))
	s.ResourceVersion, s.Spec.Replicas = "", 2
	must(c.UpdateScale(f.ctx, "many", s, metav1.UpdateOptions{}))
	f.eventually("the failure is over", func() error {
		x, err := failure()
		if err != nil {
			return err
		}
		return errUnless(x == nil, "it is still there: %v", x)
	})
}

func controllerLifecycle(f *fixture) {
	c, sel := f.kube.CoreV1().ReplicationControllers(f.ns), metav1.ListOptions{LabelSelector: "app=web"}
	w := must(c.Watch(f.ctx, sel))
	defer w.Stop()
	must(c.Create(f.ctx, servingController(f, 1), metav1.CreateOptions{}))
	f.await(w, watch.Added, "web")
	f.awaitReady("web", 1)
	got := must(c.Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes", "the patch is lost")
	got = must(c.Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"status":{"readyReplicas":0,"availableReplicas":0}}`), metav1.PatchOptions{}, "status"))
	f.expect(got.Status.ReadyReplicas == 0, "the patch of the status is lost")
	f.eventually("the controller corrects the status", func() error {
		rc, err := c.Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(rc.Status.ReadyReplicas == 1, "ready %d", rc.Status.ReadyReplicas)
	})
	must(c.Patch(f.ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{}, "scale"))
	f.awaitReady("web", 2)
	all := must(f.kube.CoreV1().ReplicationControllers("").List(f.ctx, metav1.ListOptions{LabelSelector: "app=web,patched=yes"}))
	f.expect(len(all.Items) >= 1, "it is not listed in all namespaces")
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.await(w, watch.Deleted, "web")
}

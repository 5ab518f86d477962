package conformance

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedappsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
)

func garbage() []behaviour {
	return []behaviour{
		{name: "Garbage Collector, delete deployment,  propagation policy background", run: collectDeployment(metav1.DeletePropagationBackground)},
		{name: "Garbage Collector, delete deployment, propagation policy orphan", run: collectDeployment(metav1.DeletePropagationOrphan)},
		{name: "Garbage Collector, delete replication controller, propagation policy background", run: collectController(metav1.DeletePropagationBackground, 2)},
		{name: "Garbage Collector, delete replication controller, propagation policy orphan", run: collectController(metav1.DeletePropagationOrphan, 10)},
		{name: "Garbage Collector, delete replication controller, after owned pods", run: collectController(metav1.DeletePropagationForeground, 10)},
		{name: "Garbage Collector, multiple owners", run: collectTwoOwners},
		{name: "Garbage Collector, dependency cycle", run: collectCycle},
	}
}

func newDeployment(f *fixture, name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	p := f.server(name)
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec},
	}}
}

func newController(f *fixture, name string, replicas int32) *corev1.ReplicationController {
	labels := map[string]string{"app": name}
	p := f.sleeper(name)
	return &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.ReplicationControllerSpec{
		Replicas: &replicas, Selector: labels, Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec},
	}}
}

func (f *fixture) deployments() typedappsv1.DeploymentInterface {
	return f.kube.AppsV1().Deployments(f.ns)
}

// podsOf are those with the label app.
func (f *fixture) podsOf(app string) ([]corev1.Pod, error) {
	l, err := f.pods().List(f.ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

func (f *fixture) awaitPods(app string, want int) []corev1.Pod {
	f.Helper()
	var pods []corev1.Pod
	f.eventually(fmt.Sprintf("%d pods of %s", want, app), func() (err error) {
		pods, err = f.podsOf(app)
		if err != nil {
			return err
		}
		return errUnless(len(pods) == want, "%d pods", len(pods))
	})
	return pods
}

func collectDeployment(policy metav1.DeletionPropagation) func(*fixture) {
	return func(f *fixture) {
		c := f.kube.AppsV1()
		must(c.Deployments(f.ns).Create(f.ctx, newDeployment(f, "web", 2), metav1.CreateOptions{}))
		f.awaitPods("web", 2)
		check(c.Deployments(f.ns).Delete(f.ctx, "web", metav1.DeleteOptions{PropagationPolicy: &policy}))
		f.eventually("the deployment is gone", func() error {
			_, err := c.Deployments(f.ns).Get(f.ctx, "web", metav1.GetOptions{})
			return gone(err)
		})
		sets := func() ([]appsv1.ReplicaSet, error) {
			l, err := c.ReplicaSets(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "app=web"})
			if err != nil {
				return nil, err
			}
			return l.Items, nil
		}
		if policy == metav1.DeletePropagationBackground {
			f.eventually("the replica sets are gone", func() error {
				l, err := sets()
				if err != nil {
					return err
				}
				return errUnless(len(l) == 0, "%d replica sets", len(l))
			})
			f.awaitPods("web", 0)
			return
		}
		f.holds(3*time.Second, "the orphans stay", func() error {
			l, err := sets()
			if err != nil || len(l) != 1 || len(l[0].OwnerReferences) != 0 {
				return fmt.Errorf("replica sets %d, %v", len(l), err)
			}
			pods, err := f.podsOf("web")
			return errUnless(err == nil && len(pods) == 2, "pods %d, %v", len(pods), err)
		})
	}
}

func collectController(policy metav1.DeletionPropagation, replicas int32) func(*fixture) {
	return func(f *fixture) {
		c := f.kube.CoreV1().ReplicationControllers(f.ns)
		must(c.Create(f.ctx, newController(f, "many", replicas), metav1.CreateOptions{}))
		f.awaitPods("many", int(replicas))
		check(c.Delete(f.ctx, "many", metav1.DeleteOptions{PropagationPolicy: &policy}))
		f.eventually("the controller is gone", func() error {
			_, err := c.Get(f.ctx, "many", metav1.GetOptions{})
			if policy == metav1.DeletePropagationForeground && gone(err) == nil {
				// Only after its pods.
				pods, err := f.podsOf("many")
				f.expect(err == nil && len(pods) == 0, "%d pods are left after their owner, %v", len(pods), err)
			}
			return gone(err)
		})
		if policy == metav1.DeletePropagationOrphan {
			f.holds(3*time.Second, "the orphans stay", func() error {
				pods, err := f.podsOf("many")
				if err != nil || len(pods) != int(replicas) {
					return fmt.Errorf("%d pods, %v", len(pods), err)
				}
				owned := slices.IndexFunc(pods, func(p corev1.Pod) bool { return len(p.OwnerReferences) > 0 || p.DeletionTimestamp != nil })
				return errUnless(owned < 0, "a pod is still owned")
			})
			return
		}
		f.awaitPods("many", 0)
	}
}

// collectTwoOwners: what also has an owner that stays, stays.
func collectTwoOwners(f *fixture) {
	c := f.kube.CoreV1().ReplicationControllers(f.ns)
	must(c.Create(f.ctx, newController(f, "dies", 10), metav1.CreateOptions{}))
	stays := must(c.Create(f.ctx, newController(f, "stays", 0), metav1.CreateOptions{}))
	pods := f.awaitPods("dies", 10)
	for _, p := range pods[:5] {
		patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ReplicationController","name":"stays","uid":%q}]}}`, stays.UID)
		must(f.pods().Patch(f.ctx, p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))
	}
	check(c.Delete(f.ctx, "dies", metav1.DeleteOptions{PropagationPolicy: to(metav1.DeletePropagationForeground)}))
	f.eventually("the owner is gone", func() error {
		_, err := c.Get(f.ctx, "dies", metav1.GetOptions{})
		return gone(err)
	})
	f.holds(2*time.Second, "pods of two owners", func() error {
		left, err := f.podsOf("dies")
		if err != nil || len(left) != 5 {
			return fmt.Errorf("%d pods are left, want 5, %v", len(left), err)
		}
		for _, p := range left {
			if p.DeletionTimestamp != nil || len(p.OwnerReferences) != 1 || p.OwnerReferences[0].Name != "stays" {
				return fmt.Errorf("pod %s: deleted %v, owners %v", p.Name, p.DeletionTimestamp, p.OwnerReferences)
			}
		}
		return nil
	})
}

func collectCycle(f *fixture) {
	var made []*corev1.Pod
	for i := range 3 {
		made = append(made, f.create(f.sleeper(fmt.Sprintf("pod%d", i+1), withLabels(map[string]string{"app": "cycle"}))))
	}
	for i, p := range made {
		owner := made[(i+2)%3]
		patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":%q,"uid":%q,"controller":true,"blockOwnerDeletion":true}]}}`, owner.Name, owner.UID)
		must(f.pods().Patch(f.ctx, p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))
	}
	check(f.pods().Delete(f.ctx, "pod1", metav1.DeleteOptions{PropagationPolicy: to(metav1.DeletePropagationForeground)}))
	f.awaitPods("cycle", 0)
}

package controllers_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestDaemonOnEveryNode(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	sets := informer[*appsv1.DaemonSet](c, appsv1.SchemeGroupVersion, "daemonsets")
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	node := func(name string, taints ...corev1.Taint) {
		n := must[*corev1.Node](t)(c.kube.CoreV1().Nodes().Create(c.ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}, metav1.CreateOptions{}))
		// A new node is tainted until it has reported.
		patch := []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)
		must[*corev1.Node](t)(c.kube.CoreV1().Nodes().Patch(c.ctx, n.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"))
	}
	node("a")
	node("b")
	node("c", corev1.Taint{Key: "own", Effect: corev1.TaintEffectNoSchedule})
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: "default"},
		Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "nginx"}}, Template: nginx(1, "v1").Spec.Template}}
	api := c.kube.AppsV1().DaemonSets("default")
	must[*appsv1.DaemonSet](t)(api.Create(c.ctx, d, metav1.CreateOptions{}))
	settled := func(n int32, image string) func() bool {
		return func() bool {
			d, ok := sets.Get("default", "agent")
			if !ok || d.Status.NumberAvailable != n || d.Status.DesiredNumberScheduled != n || d.Status.UpdatedNumberScheduled != n || d.Status.ObservedGeneration != d.Generation {
				return false
			}
			for _, p := range pods.List() {
				if p.Spec.Containers[0].Image != image {
					return false
				}
			}
			return len(pods.List()) == int(n)
		}
	}
	until(c, sets, "one on each", settled(2, "v1"))
	node("d")
	until(c, sets, "one on the new node", settled(3, "v1"))
	edit(c, api, "agent", func(d *appsv1.DaemonSet) { d.Spec.Template.Spec.Containers[0].Image = "v2" })
	until(c, sets, "all replaced", settled(3, "v2"))

	// Without it the pods and the revisions stay; one like it takes both over, and nothing restarts.
	before := map[types.UID]bool{}
	for _, p := range pods.List() {
		before[p.UID] = true
	}
	orphan := metav1.DeletePropagationOrphan
	if err := api.Delete(c.ctx, "agent", metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	until(c, sets, "gone", func() bool { return len(sets.List()) == 0 })
	d.Spec.Template.Spec.Containers[0].Image = "v2"
	must[*appsv1.DaemonSet](t)(api.Create(c.ctx, d, metav1.CreateOptions{}))
	until(c, sets, "taken over", settled(3, "v2"))
	for _, p := range pods.List() {
		if !before[p.UID] {
			t.Errorf("pod %s was made anew", p.Name)
		}
	}

	// A revision that somebody deletes is written again.
	revisions := informer[*appsv1.ControllerRevision](c, appsv1.SchemeGroupVersion, "controllerrevisions")
	if err := c.kube.AppsV1().ControllerRevisions("default").DeleteCollection(c.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	until(c, revisions, "written again", func() bool { return len(revisions.List()) == 1 })
}

func TestStatefulSetInOrder(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	sets := informer[*appsv1.StatefulSet](c, appsv1.SchemeGroupVersion, "statefulsets")
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	n := int32(3)
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.StatefulSetSpec{Replicas: &n, ServiceName: "web", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "nginx"}},
			Template: nginx(1, "v1").Spec.Template}}
	api := c.kube.AppsV1().StatefulSets("default")
	must[*appsv1.StatefulSet](t)(api.Create(c.ctx, s, metav1.CreateOptions{}))
	settled := func(n int32, image string) func() bool {
		return func() bool {
			s, ok := sets.Get("default", "web")
			if !ok || s.Status.AvailableReplicas != n || s.Status.UpdatedReplicas != n || s.Status.Replicas != n ||
				s.Status.CurrentRevision != s.Status.UpdateRevision || s.Status.ObservedGeneration != s.Generation {
				return false
			}
			p, ok := pods.Get("default", "web-0")
			return ok && p.Spec.Containers[0].Image == image && p.Spec.Hostname == "web-0"
		}
	}
	until(c, sets, "three in order", settled(3, "v1"))
	edit(c, api, "web", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "v2" })
	until(c, sets, "rolled", settled(3, "v2"))
	one := int32(1)
	edit(c, api, "web", func(s *appsv1.StatefulSet) { s.Spec.Replicas = &one })
	until(c, sets, "one left", settled(1, "v2"))
}

// TestClaimsGoWithTheirPods: a claim goes when its set becomes smaller, the others with the set.
func TestClaimsGoWithTheirPods(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	claims := informer[*corev1.PersistentVolumeClaim](c, corev1.SchemeGroupVersion, "persistentvolumeclaims")
	n, drop := int32(2), appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"}, Spec: appsv1.StatefulSetSpec{
		Replicas: &n, ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "nginx"}}, Template: nginx(1, "v1").Spec.Template,
		PersistentVolumeClaimRetentionPolicy: &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: drop, WhenScaled: drop},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}},
	}}
	api := c.kube.AppsV1().StatefulSets("default")
	must[*appsv1.StatefulSet](t)(api.Create(c.ctx, s, metav1.CreateOptions{}))
	owner := func(claim string) string {
		o, ok := claims.Get("default", claim)
		if !ok || metav1.GetControllerOfNoCopy(o) == nil {
			return ""
		}
		return metav1.GetControllerOfNoCopy(o).Kind
	}
	until(c, claims, "owned by the set", func() bool { return owner("data-db-0") == "StatefulSet" && owner("data-db-1") == "StatefulSet" })
	edit(c, api, "db", func(s *appsv1.StatefulSet) { *s.Spec.Replicas = 1 })
	until(c, claims, "gone with its pod", func() bool { return len(claims.List()) == 1 && owner("data-db-0") == "StatefulSet" })
	if err := api.Delete(c.ctx, "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(c, claims, "gone with the set", func() bool { return len(claims.List()) == 0 })
}

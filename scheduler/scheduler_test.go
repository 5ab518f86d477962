package scheduler_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	schedulingv1 "k8s.io/api/scheduling/v1"
)

// TestPodsGetNodes walks through what users see, on a real API server.
func TestPodsGetNodes(t *testing.T) {
	c := start(t)
	c.pod("early", "100m")
	c.refused("early", "no nodes available to schedule pods")
	c.node("n1", "1")
	c.bound("early", "n1")
	c.event("early", "FailedScheduling", "no nodes available to schedule pods")
	c.event("early", "Scheduled", "Successfully assigned default/early to n1")

	t.Run("a pod that is too large waits for others to go", func(t *testing.T) {
		c := c.in(t)
		c.node("n2", "1", corev1.Taint{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule})
		c.pod("large", "950m")
		c.refused("large", "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "+
			"preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.")
		c.remove("early")
		c.bound("large", "n1")
		c.remove("large")
	})
	t.Run("a gated pod waits for its gates", func(t *testing.T) {
		c := c.in(t)
		p := c.pod("gated", "100m", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/quota"}} })
		if k := condition(p); k == nil || k.Reason != corev1.PodReasonSchedulingGated {
			t.Errorf("condition %v", k)
		}
		c.pod("free", "100m")
		c.bound("free", "n1")
		if g := c.latest["gated"]; g == nil || g.Spec.NodeName != "" {
			t.Errorf("gated pod %v", g)
		}
		if got := c.metric("scheduler_pending_pods", "gated"); got != 1 {
			t.Errorf("%v gated pods counted", got)
		}
		patch := []byte(`[{"op":"remove","path":"/spec/schedulingGates"}]`)
		if _, err := c.kube.CoreV1().Pods("default").Patch(t.Context(), "gated", types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		c.bound("gated", "n1")
	})
	t.Run("a claim has to exist", func(t *testing.T) {
		c := c.in(t)
		c.pod("claimant", "10m", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		})
		help := " preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
		c.refused("claimant", `0/2 nodes are available: persistentvolumeclaim "data" not found.`+help)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
		if _, err := c.kube.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), claim, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		c.refused("claimant", "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."+help)
		c.remove("claimant")
	})
	t.Run("a pod of another scheduler is left alone", func(t *testing.T) {
		c := c.in(t)
		c.pod("foreign", "10m", func(p *corev1.Pod) { p.Spec.SchedulerName = "other" })
		c.pod("ours", "10m")
		c.bound("ours", "n1")
		if p := c.latest["foreign"]; p.Spec.NodeName != "" {
			t.Error("foreign pod was bound")
		}
	})
}

// TestPreemption makes room on a full node and keeps it.
func TestPreemption(t *testing.T) {
	c := start(t)
	for name, value := range map[string]int32{"high": 1000, "low": 1} {
		class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}
		if _, err := c.kube.SchedulingV1().PriorityClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	prio := func(class string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.PriorityClassName = class }
	}
	c.node("n1", "1")
	c.pod("victim", "600m", prio("low"), func(p *corev1.Pod) { p.Finalizers = []string{"example.com/slow"} })
	c.bound("victim", "n1")
	c.pod("keeper", "300m", prio("high"))
	c.bound("keeper", "n1")
	c.pod("vip", "500m", prio("high"))
	c.wait("vip", "nominated", func(p *corev1.Pod) bool { return p.Status.NominatedNodeName == "n1" })
	c.wait("victim", "going", func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil && slices.ContainsFunc(p.Status.Conditions, func(k corev1.PodCondition) bool {
			return k.Type == corev1.DisruptionTarget && k.Reason == corev1.PodReasonPreemptionByScheduler
		})
	})
	c.event("victim", "Preempted", "Preempted by pod")
	// The room is kept: a less important pod that would fit at once does not get it.
	c.pod("thief", "400m", prio("low"))
	c.wait("thief", "refused", func(p *corev1.Pod) bool { k := condition(p); return k != nil && k.Status == corev1.ConditionFalse })
	none := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := c.kube.CoreV1().Pods("default").Patch(t.Context(), "victim", types.MergePatchType, none, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.remove("victim")
	c.bound("vip", "n1")
	if p := c.latest["thief"]; p.Spec.NodeName != "" {
		t.Error("the room went to a less important pod")
	}
}

// TestManyPods fills nodes to the brim while pods are deleted under the
// scheduler's hands: nothing is placed twice over and everything that can be is.
func TestManyPods(t *testing.T) {
	c := start(t)
	for i := range 10 {
		c.node(fmt.Sprintf("n%d", i), "2")
	}
	for i := range 200 { // exactly as many as fit
		c.pod(fmt.Sprintf("p%03d", i), "100m")
		if i%10 == 0 {
			c.remove(fmt.Sprintf("p%03d", i))
		}
	}
	for i := range 20 {
		c.pod(fmt.Sprintf("q%03d", i), "100m")
	}
	used := map[string]int{}
	for i := range 220 {
		name := fmt.Sprintf("p%03d", i)
		if i >= 200 {
			name = fmt.Sprintf("q%03d", i-200)
		} else if i%10 == 0 {
			continue
		}
		used[c.bound(name, "").Spec.NodeName]++
	}
	for n, count := range used {
		if count != 20 {
			t.Errorf("%d pods on %s", count, n)
		}
	}
}

// TestStartsOnWhatIsThere lets a scheduler find a full cluster: it must know all
// of it before it decides anything.
func TestStartsOnWhatIsThere(t *testing.T) {
	const n = 60
	c := startWith(t, func(c *cluster) {
		for i := range n {
			node, name := fmt.Sprintf("n%d", i), fmt.Sprintf("old%d", i)
			c.node(node, "1")
			c.pod(name, "600m", func(p *corev1.Pod) { p.Spec.NodeName = node })
			c.pod(fmt.Sprintf("new%d", i), "600m")
		}
	})
	for i := range n {
		c.refused(fmt.Sprintf("new%d", i), fmt.Sprintf("0/%d nodes are available: %d Insufficient cpu. "+
			"preemption: 0/%d nodes are available: %d No preemption victims found for incoming pod.", n, n, n, n))
	}
	c.remove("old7")
	c.wait("new0", "bound or another in its place", func(*corev1.Pod) bool {
		for i := range n {
			if p := c.latest[fmt.Sprintf("new%d", i)]; p.Spec.NodeName == "n7" {
				return true
			}
		}
		return false
	})
}

// TestNamespaceLabels has a term that selects namespaces by their labels follow
// a change of those.
func TestNamespaceLabels(t *testing.T) {
	c := start(t)
	c.node("n1", "4")
	c.node("n2", "4")
	c.pod("db", "100m", func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "db"}
		p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "n2"}
	})
	c.bound("db", "n2")
	c.pod("client", "100m", func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "data"}},
		}}}}
	})
	c.refused("client", "0/2 nodes are available: 2 node(s) didn't match pod affinity rules. "+
		"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.")
	label := []byte(`{"metadata":{"labels":{"team":"data"}}}`)
	if _, err := c.kube.CoreV1().Namespaces().Patch(t.Context(), "default", types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.bound("client", "n2")
}

// BenchmarkThroughAPI creates plain pods and waits until all are bound, with the
// API server and its store in the same process.
func BenchmarkThroughAPI(b *testing.B) {
	for _, nodes := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c := startWith(b, func(c *cluster) {
				for i := range nodes {
					c.node(fmt.Sprintf("n%d", i), "4")
				}
			})
			c.pod("first", "1m")
			c.bound("first", "")
			b.ResetTimer()
			c.createAndBind(b)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

func (c *cluster) createAndBind(b *testing.B) {
	const creators = 32
	for k := range creators {
		go func() {
			for i := k; i < b.N; i += creators {
				c.pod(fmt.Sprintf("p%d", i), "1m")
			}
		}()
	}
	for i := range b.N {
		c.bound(fmt.Sprintf("p%d", i), "")
	}
}

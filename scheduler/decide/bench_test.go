package decide_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/plugins"
	"hyperkube/scheduler/snapshot"
)

// BenchmarkDecisions has the shape of the public scheduler performance cases:
// 5,000 nodes of 4 cpu and 32 GiB, some pods there already, then so many more.
// A decision is all that the loop does for a pod: compile it, decide, assume.
func BenchmarkDecisions(b *testing.B) {
	zones := []string{"moon-1", "moon-2", "moon-3"}
	for _, c := range []struct {
		name           string
		zones          []string
		before, during int
		initial, pod   func(*corev1.Pod)
	}{
		{"SchedulingBasic", nil, 1000, 10000, plain, plain},
		{"TopologySpreading", zones, 5000, 5000, plain, spread(corev1.DoNotSchedule)},
		{"PreferredTopologySpreading", zones, 5000, 5000, plain, spread(corev1.ScheduleAnyway)},
		{"SchedulingPodAntiAffinity", nil, 1000, 2000, antiAffinity, antiAffinity},
		{"SchedulingPodAffinity", zones[:1], 5000, 5000, affinity, affinity},
		{"ReplicasOfOneOwner", zones, 5000, 5000, plain, owned},
		{"ManyOwners", zones, 20000, 5000, ownedByMany, ownedByMany},
		{"Unschedulable", nil, 10000, 1000, plain, tooLarge},
		{"Preemption", nil, 20000, 1000, low, high},
	} {
		b.Run(c.name, func(b *testing.B) {
			decided := 0
			for range b.N {
				b.StopTimer()
				w := world{Model: snapshot.New(nil), decider: decide.New(plugins.All())}
				for i := range 5000 {
					w.SetNode(benchNode(i, c.zones))
				}
				w.schedule(b, "init", c.before, c.initial)
				pods := podsOf("measured", c.during, c.pod)
				b.StartTimer()
				w.run(b, pods)
				decided += len(pods)
			}
			b.ReportMetric(float64(decided)/b.Elapsed().Seconds(), "pods/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type world struct {
	*snapshot.Model
	decider *decide.Decider
	next    int
}

func (w *world) schedule(b *testing.B, prefix string, n int, change func(*corev1.Pod)) {
	w.run(b, podsOf(prefix, n, change))
}

func (w *world) run(b *testing.B, pods []*corev1.Pod) {
	for _, p := range pods {
		c, err := framework.Compile(p, nil)
		if err != nil {
			b.Fatal(err)
		}
		d := w.decider.Decide(c, w.Model, w.next)
		w.next = d.Next(w.next, len(w.Nodes()))
		if d.Node == nil {
			pre := w.decider.Preempt(c, w.Model, d.Open, func(pods []*framework.Pod) []bool { return make([]bool, len(pods)) })
			if pre != nil {
				for _, v := range pre.Victims {
					w.Remove(v.UID)
				}
				w.Assume(c, pre.Node.Name)
			} else if p.Spec.PriorityClassName != "too-large" {
				b.Fatalf("%s: %s", p.Name, decide.Explain(d, len(w.Nodes())))
			}
			continue
		}
		w.Assume(c, d.Node.Name)
	}
}

func podsOf(prefix string, n int, change func(*corev1.Pod)) []*corev1.Pod {
	out := make([]*corev1.Pod, n)
	for i := range out {
		name := fmt.Sprintf("%s-%d", prefix, i)
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "sched-1", UID: types.UID(name), Labels: map[string]string{}}}
		p.Spec.Containers = []corev1.Container{{Name: "pause", Image: "registry.k8s.io/pause:3.10", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("500Mi")}
		change(p)
		out[i] = p
	}
	return out
}

func benchNode(i int, zones []string) *corev1.Node {
	name := fmt.Sprintf("node-%05d", i)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	if len(zones) > 0 {
		n.Labels[corev1.LabelTopologyZone] = zones[i%len(zones)]
	}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")}
	return n
}

func plain(*corev1.Pod) {}

func tooLarge(p *corev1.Pod) {
	p.Spec.PriorityClassName = "too-large"
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("3900m")
}

func low(p *corev1.Pod) {
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("900m")
}

func high(p *corev1.Pod) {
	ten := int32(10)
	p.Spec.Priority = &ten
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("3000m")
}

func owned(p *corev1.Pod) {
	yes := true
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "r", UID: "r", Controller: &yes}}
}

// ownedByMany has 5,000 owners in 100 namespaces.
func ownedByMany(p *corev1.Pod) {
	owned(p)
	var prefix string
	var i int
	if _, err := fmt.Sscanf(strings.ReplaceAll(p.Name, "-", " "), "%s %d", &prefix, &i); err != nil {
		panic(err)
	}
	p.Namespace = fmt.Sprintf("ns-%d", i%100)
	p.OwnerReferences[0].UID = types.UID(fmt.Sprintf("owner-%d", i%5000))
}

func spread(when corev1.UnsatisfiableConstraintAction) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Labels["color"] = "blue"
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 5, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: when,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"color": "blue"}},
		}}
	}
}

func antiAffinity(p *corev1.Pod) {
	p.Labels["color"] = "green"
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms("green", corev1.LabelHostname)}}
}

func affinity(p *corev1.Pod) {
	p.Labels["color"] = "blue"
	p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms("blue", corev1.LabelTopologyZone)}}
}

func terms(color, key string) []corev1.PodAffinityTerm {
	return []corev1.PodAffinityTerm{{
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"color": color}},
		TopologyKey:   key, Namespaces: []string{"sched-1", "sched-0"},
	}}
}

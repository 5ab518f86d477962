package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/plugins"
	"hyperkube/scheduler/snapshot"
)

// TestDecisionsAreRight builds small random clusters and compares every decision
// with a naive twin that reads nothing but the objects.
func TestDecisionsAreRight(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := drawCluster(r)
		for i := range rapid.IntRange(1, 12).Draw(r, "pods") {
			p := drawPod(r, fmt.Sprintf("p%d", i))
			compiled := compiled(r, p)
			d := c.decider.Decide(compiled, c.model, i)
			for _, n := range c.nodes {
				why := c.naive(p, n.Name)
				switch {
				case d.Node == nil && why == "":
					r.Fatalf("%s fits on %s, but: %s", describe(p), n.Name, decide.Explain(d, len(c.nodes)))
				case d.Node != nil && d.Node.Name == n.Name && why != "":
					r.Fatalf("%s went to %s: %s", describe(p), n.Name, why)
				}
			}
			if d.Node != nil {
				c.put(compiled, d.Node.Name)
				continue
			}
			c.preempt(r, compiled, d)
		}
	})
}

// preempt checks what is promised of preemption: only less important pods go, the
// pod fits when they are gone, none goes for nothing, and looking changes nothing.
func (c *naiveCluster) preempt(r *rapid.T, p *framework.Pod, d decide.Decision) {
	none := func(pods []*framework.Pod) []bool { return make([]bool, len(pods)) }
	before := c.snapshot()
	pre := c.decider.Preempt(p, c.model, d.Open, none)
	if after := c.snapshot(); after != before {
		r.Fatalf("looking changed the model from %s to %s", before, after)
	}
	if pre == nil {
		return
	}
	gone := map[types.UID]bool{}
	for _, v := range pre.Victims {
		if v.Priority() >= p.Priority() {
			r.Fatalf("%s of priority %d goes for one of %d", v.Name, v.Priority(), p.Priority())
		}
		gone[v.UID] = true
	}
	less := c.without(gone)
	if why := less.naive(p.Pod, pre.Node.Name); why != "" {
		r.Fatalf("without %v %s still does not fit: %s", gone, describe(p.Pod), why)
	}
	if len(p.Affinity) > 0 || len(p.Spec.TopologySpreadConstraints) > 0 {
		return // what goes may have been needed there, so fewer may not be enough
	}
	for uid := range gone {
		most := map[types.UID]bool{}
		for other := range gone {
			most[other] = other != uid
		}
		if less := c.without(most); less.naive(p.Pod, pre.Node.Name) == "" {
			r.Fatalf("%s goes for nothing", uid)
		}
	}
}

// naiveCluster keeps the plain objects beside the model.
type naiveCluster struct {
	model   *snapshot.Model
	decider *decide.Decider
	nodes   []*corev1.Node
	pods    []*corev1.Pod // with spec.nodeName
}

func drawCluster(r *rapid.T) *naiveCluster {
	c := &naiveCluster{model: snapshot.New(nil), decider: decide.New(plugins.All())}
	for i := range rapid.IntRange(1, 5).Draw(r, "nodes") {
		name := fmt.Sprintf("n%d", i)
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		if z := rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(r, "zone"); z != "" {
			n.Labels["zone"] = z
		}
		n.Spec.Unschedulable = rapid.IntRange(0, 9).Draw(r, "cordoned") == 0
		if rapid.IntRange(0, 5).Draw(r, "tainted") == 0 {
			n.Spec.Taints = []corev1.Taint{{Key: "t", Effect: rapid.SampledFrom([]corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule}).Draw(r, "effect")}}
		}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(int64(rapid.IntRange(1, 6).Draw(r, "cpu")), resource.DecimalSI),
			corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: *resource.NewQuantity(int64(rapid.IntRange(1, 6).Draw(r, "room")), resource.DecimalSI)}
		c.nodes = append(c.nodes, n)
		c.model.SetNode(n)
	}
	for i := range rapid.IntRange(0, 8).Draw(r, "placed") {
		p := drawPod(r, fmt.Sprintf("old%d", i))
		if rapid.IntRange(0, 4).Draw(r, "going") == 0 {
			p.DeletionTimestamp = &metav1.Time{}
		}
		c.put(compiled(r, p), rapid.SampledFrom(c.nodes).Draw(r, "node").Name)
	}
	return c
}

func drawPod(r *rapid.T, name string) *corev1.Pod {
	app := rapid.SampledFrom([]string{"x", "y"}).Draw(r, "app")
	priority := int32(rapid.IntRange(0, 3).Draw(r, "priority"))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Namespace: "default", Labels: map[string]string{"app": app}}}
	p.Spec.Priority = &priority
	p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewQuantity(int64(rapid.IntRange(0, 3).Draw(r, "cpu")), resource.DecimalSI)}}}}
	if rapid.IntRange(0, 4).Draw(r, "port") == 0 {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}}
	}
	if rapid.IntRange(0, 3).Draw(r, "tolerates") == 0 {
		p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	}
	if rapid.IntRange(0, 5).Draw(r, "selects") == 0 {
		p.Spec.NodeSelector = map[string]string{"zone": rapid.SampledFrom([]string{"a", "b"}).Draw(r, "zone")}
	}
	key := func() string { return rapid.SampledFrom([]string{"zone", corev1.LabelHostname}).Draw(r, "key") }
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": rapid.SampledFrom([]string{"x", "y"}).Draw(r, "to")}}
	term := func() []corev1.PodAffinityTerm {
		return []corev1.PodAffinityTerm{{TopologyKey: key(), LabelSelector: selector}}
	}
	switch rapid.IntRange(0, 8).Draw(r, "kind") {
	case 0:
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term()}}
	case 1:
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term()}}
	case 2:
		both := append(term(), corev1.PodAffinityTerm{TopologyKey: key(), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}})
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: both}}
	case 3, 4:
		for range rapid.IntRange(1, 2).Draw(r, "constraints") {
			k := corev1.TopologySpreadConstraint{MaxSkew: rapid.Int32Range(1, 2).Draw(r, "skew"), TopologyKey: key(), WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector}
			if rapid.Bool().Draw(r, "honour taints") {
				honour := corev1.NodeInclusionPolicyHonor
				k.NodeTaintsPolicy = &honour
			}
			if rapid.IntRange(0, 3).Draw(r, "min") == 0 {
				two := int32(2)
				k.MinDomains = &two
			}
			p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, k)
		}
	}
	return p
}

func compiled(r *rapid.T, p *corev1.Pod) *framework.Pod {
	c, err := framework.Compile(p, nil)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (c *naiveCluster) put(p *framework.Pod, node string) {
	c.model.Place(p, node)
	placed := p.Pod.DeepCopy()
	placed.Spec.NodeName = node
	c.pods = append(c.pods, placed)
}

func (c *naiveCluster) without(gone map[types.UID]bool) *naiveCluster {
	out := &naiveCluster{nodes: c.nodes}
	for _, p := range c.pods {
		if !gone[p.UID] {
			out.pods = append(out.pods, p)
		}
	}
	return out
}

func (c *naiveCluster) snapshot() string {
	var lines []string
	for _, n := range c.model.Nodes() {
		var names []string
		for _, p := range n.Pods {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		lines = append(lines, fmt.Sprint(n.Name, names, n.Requested, len(n.Ports)))
	}
	return strings.Join(lines, "; ")
}

func describe(p *corev1.Pod) string {
	return fmt.Sprintf("%s (%v, affinity %v, spread %v)", p.Name, p.Labels, p.Spec.Affinity, p.Spec.TopologySpreadConstraints)
}

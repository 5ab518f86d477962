package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"hyperkube/scheduler/framework"
)

// TestModelCounts does anything to a model and compares all that it keeps up to
// date with a naive count over what ought to be there.
func TestModelCounts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{Model: New(nil), nodesWant: map[string]*corev1.Node{}, podsWant: map[types.UID]Placed{}}
		r.Repeat(map[string]func(*rapid.T){
			"set node":    m.setNode,
			"remove node": m.removeNode,
			"place":       m.place,
			"confirm":     m.confirm,
			"remove":      m.remove,
			"ask":         m.ask,
			"lift":        m.lift,
			"nominate":    m.nominate,
			"":            m.check,
		})
	})
}

type machine struct {
	*Model
	nodesWant map[string]*corev1.Node
	podsWant  map[types.UID]Placed
	queries   []framework.CountQuery
	n         int
}

var (
	nodeNames = []string{"n1", "n2", "n3", "n4"}
	keys      = []string{"zone", "rack", framework.ByNode}
	apps      = []string{"a", "b"}
)

func (m *machine) setNode(r *rapid.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: rapid.SampledFrom(nodeNames).Draw(r, "node"), Labels: map[string]string{}}}
	for _, k := range keys[:2] {
		if v := rapid.SampledFrom([]string{"", "1", "2"}).Draw(r, k); v != "" {
			n.Labels[k] = v
		}
	}
	if img := rapid.SampledFrom([]string{"", "x:1", "y"}).Draw(r, "image"); img != "" {
		n.Status.Images = []corev1.ContainerImage{{Names: []string{img}, SizeBytes: 1}}
	}
	m.SetNode(n)
	m.nodesWant[n.Name] = n
}

func (m *machine) removeNode(r *rapid.T) {
	name := rapid.SampledFrom(nodeNames).Draw(r, "node")
	m.RemoveNode(name)
	delete(m.nodesWant, name)
}

func (m *machine) pod(r *rapid.T) *framework.Pod {
	m.n++
	uid := types.UID(fmt.Sprintf("p%d", rapid.IntRange(0, 8).Draw(r, "pod")))
	app := rapid.SampledFrom(apps).Draw(r, "app")
	priority := int32(rapid.IntRange(0, 2).Draw(r, "priority"))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: string(uid), Namespace: rapid.SampledFrom(apps).Draw(r, "ns"), UID: uid, Labels: map[string]string{"app": app}}}
	p.Spec.Priority = &priority
	p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewQuantity(int64(rapid.IntRange(0, 3).Draw(r, "cpu")), resource.DecimalSI),
		"example.com/x":    *resource.NewQuantity(int64(rapid.IntRange(0, 3).Draw(r, "x")), resource.DecimalSI)}}}}
	if port := rapid.Int32Range(0, 2).Draw(r, "port"); port > 0 {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: port}}
	}
	if rapid.Bool().Draw(r, "owned") {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(p.Namespace), Controller: &yes}} // owners and theirs share a namespace
	}
	if rapid.Bool().Draw(r, "terminating") {
		p.DeletionTimestamp = &metav1.Time{}
	}
	if rapid.Bool().Draw(r, "anti") {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: rapid.SampledFrom(keys[:2]).Draw(r, "key"), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}}}
	}
	c, err := framework.Compile(p, nil)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (m *machine) place(r *rapid.T) {
	p, node := m.pod(r), rapid.SampledFrom(nodeNames).Draw(r, "node")
	assumed := rapid.Bool().Draw(r, "assumed")
	if assumed {
		m.Assume(p, node)
	} else {
		m.Place(p, node)
	}
	m.podsWant[p.UID] = Placed{p, node, assumed}
}

func (m *machine) confirm(*rapid.T) {
	for uid, e := range m.podsWant {
		newer := e.Pod.Pod.DeepCopy()
		newer.ResourceVersion = "2"
		m.Confirm(newer)
		e.Assumed = false
		m.podsWant[uid] = e
		return
	}
}

func (m *machine) remove(r *rapid.T) {
	uid := types.UID(fmt.Sprintf("p%d", rapid.IntRange(0, 8).Draw(r, "pod")))
	_, want := m.podsWant[uid]
	if got := m.Remove(uid); got != want {
		r.Fatalf("removing %s: %v", uid, got)
	}
	delete(m.podsWant, uid)
}

func (m *machine) ask(r *rapid.T) {
	key, app := rapid.SampledFrom(keys).Draw(r, "key"), rapid.SampledFrom(apps).Draw(r, "app")
	var namespaces []string
	if rapid.Bool().Draw(r, "one namespace") {
		namespaces = []string{app}
	}
	q := framework.NewQuery(namespaces, labels.SelectorFromSet(labels.Set{"app": app}), key)
	switch rapid.IntRange(0, 2).Draw(r, "kind") {
	case 1:
		q = q.Alive()
	case 2:
		q = framework.OwnerQuery(app, app, key)
	}
	m.queries = append(m.queries, q)
	m.Domains(key)
}

// lift takes all pods off a node and puts them back, as preemption does.
func (m *machine) lift(r *rapid.T) {
	n := m.Node(rapid.SampledFrom(nodeNames).Draw(r, "node"))
	if n == nil {
		return
	}
	pods := slices.Clone(n.Pods)
	for _, p := range pods {
		m.Lift(p)
	}
	for _, p := range pods {
		m.Return(p, n)
	}
}

func (m *machine) nominate(r *rapid.T) {
	p := m.pod(r)
	if _, placed := m.podsWant[p.UID]; placed {
		return
	}
	m.Nominate(p, rapid.SampledFrom(nodeNames).Draw(r, "node"))
}

// check compares everything with a count from nothing.
func (m *machine) check(r *rapid.T) {
	same := func(what string, got, want any) {
		if d := cmp.Diff(want, got); d != "" {
			r.Fatalf("%s (-want +got):\n%s", what, d)
		}
	}
	names := []string{}
	for _, n := range m.Nodes() {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	same("nodes", names, slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(m.nodesWant)))))
	priorities := map[int32]int{}
	for _, n := range m.Nodes() {
		want, ports, pods := framework.Resource{}, 0, []string{}
		for uid, e := range m.podsWant {
			if e.Node == n.Name {
				want.Add(e.Pod.Request)
				ports += len(e.Pod.Ports)
				pods = append(pods, string(uid))
				priorities[e.Pod.Priority()]++
			}
		}
		if !n.Requested.Equal(want) || len(n.Ports) != ports {
			r.Fatalf("%s: %v and %d ports, want %v and %d", n.Name, n.Requested, len(n.Ports), want, ports)
		}
		got := []string{}
		for _, p := range n.Pods {
			got = append(got, string(p.UID))
		}
		slices.Sort(got)
		slices.Sort(pods)
		same("pods of "+n.Name, got, pods)
		for _, p := range n.Nominated {
			if _, placed := m.podsWant[p.UID]; placed || m.NominatedNode(p.UID) != n {
				r.Fatalf("%s is nominated for %s", p.UID, n.Name)
			}
		}
	}
	same("priorities", m.priorities, priorities)
	for _, q := range m.queries {
		same("count "+q.Key, m.Count(q).ByValue, m.naive(q.TopologyKey, func(p *framework.Pod) int {
			if q.Matches(p.Pod) {
				return 1
			}
			return 0
		}))
	}
	for _, h := range m.Held() {
		same("held "+h.Query.Key, h.ByValue, m.naive(h.Query.TopologyKey, func(p *framework.Pod) int { return held(p, h) }))
	}
	for key := range m.domains {
		want := map[string]int{}
		for _, n := range m.nodesWant {
			if v, ok := n.Labels[key]; ok {
				want[v]++
			}
		}
		same("domains of "+key, m.Domains(key).ByValue, want)
	}
	images := map[string]int{}
	for _, n := range m.nodesWant {
		for _, img := range n.Status.Images {
			images[framework.ImageName(img.Names[0])]++
		}
	}
	same("images", m.images, images)
	for uid, want := range m.podsWant {
		if got, ok := m.Pod(uid); !ok || got.Node != want.Node || got.Assumed != want.Assumed {
			r.Fatalf("%s: %v, want %v", uid, got, want)
		}
	}
}

func (m *machine) naive(key string, count func(*framework.Pod) int) map[string]int {
	out := map[string]int{}
	for _, e := range m.podsWant {
		n, ok := m.nodesWant[e.Node]
		if !ok {
			continue
		}
		v, ok := n.Labels[key]
		if key == framework.ByNode {
			v, ok = n.Name, true
		}
		if c := count(e.Pod); ok && c > 0 {
			out[v] += c
		}
	}
	return out
}

func held(p *framework.Pod, h *framework.HeldTerm) int {
	n := 0
	for _, have := range p.Holds {
		if have.Query.Key == h.Query.Key && have.Refuses == h.Refuses && have.Weight == h.Weight {
			n++
		}
	}
	return n
}

// TestCountersAreBounded asks more questions than are kept and still gets right answers.
func TestCountersAreBounded(t *testing.T) {
	m := New(nil)
	m.SetNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"zone": "z"}}})
	for i := range 3 * maxCounters {
		name := fmt.Sprintf("p%d", i)
		p, err := framework.Compile(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: name, UID: types.UID(name), Labels: map[string]string{"app": name}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := framework.NewQuery([]string{name}, labels.SelectorFromSet(labels.Set{"app": name}), "zone")
		if n := m.Count(q).ByValue["z"]; n != 0 {
			t.Fatalf("%s: %d", name, n)
		}
		m.Place(p, "n")
		if n := m.Count(q).ByValue["z"]; n != 1 {
			t.Fatalf("%s: %d", name, n)
		}
	}
	if n := len(m.counters.byKey); n > maxCounters {
		t.Errorf("%d counters", n)
	}
	first := framework.NewQuery([]string{"p0"}, labels.SelectorFromSet(labels.Set{"app": "p0"}), "zone")
	if n := m.Count(first).Total; n != 1 {
		t.Errorf("after eviction: %d", n)
	}
}

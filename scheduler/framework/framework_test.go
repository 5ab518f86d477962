package framework

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestImageName(t *testing.T) {
	for in, want := range map[string]string{
		"nginx": "nginx:latest", "nginx:1": "nginx:1", "host:5000/nginx": "host:5000/nginx:latest", "host:5000/nginx:1": "host:5000/nginx:1",
		"nginx@sha256:ab": "nginx@sha256:ab",
	} {
		if got := ImageName(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestPortConflicts(t *testing.T) {
	all, one, other := Port{"", "TCP", 80}, Port{"10.0.0.1", "TCP", 80}, Port{"10.0.0.2", "TCP", 80}
	for _, c := range []struct {
		a, b Port
		want bool
	}{
		{all, all, true}, {all, one, true}, {one, all, true}, {one, other, false}, {one, one, true},
		{all, Port{"", "UDP", 80}, false}, {all, Port{"", "TCP", 81}, false},
	} {
		if got := c.a.Conflicts(c.b); got != c.want {
			t.Errorf("%v %v: %v", c.a, c.b, got)
		}
	}
}

// TestQueryKeys checks that queries that may count differently have other keys:
// those of one key share a counter.
func TestQueryKeys(t *testing.T) {
	sel := labels.SelectorFromSet(labels.Set{"app": "a"})
	base := NewQuery([]string{"x", "y"}, sel, "zone")
	if same := NewQuery([]string{"y", "x", "x"}, sel, "zone"); same.Key != base.Key {
		t.Errorf("%q, not %q", same.Key, base.Key)
	}
	if back := base.By(ByNode).By("zone"); back.Key != base.Key {
		t.Errorf("%q, not %q", back.Key, base.Key)
	}
	seen := map[string]string{}
	for name, q := range map[string]CountQuery{
		"base": base, "alive": base.Alive(), "by node": base.By(ByNode), "all": NewQuery(nil, sel, "zone"), "none": NewQuery([]string{}, sel, "zone"),
		"other": NewQuery([]string{"x"}, sel, "zone"), "everything": NewQuery([]string{"x", "y"}, labels.Everything(), "zone"),
		"together": Together([]CountQuery{base, NewQuery(nil, sel, "zone")})[0], "owner": OwnerQuery("a", "x", "zone"), "rack": base.By("rack"),
	} {
		if other, twice := seen[q.Key]; twice {
			t.Errorf("%s and %s share the key %q", name, other, q.Key)
		}
		seen[q.Key] = name
	}
}

func TestCompile(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	port := func(n int32) []corev1.ContainerPort { return []corev1.ContainerPort{{HostPort: n}} }
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"v": "2"}}}
	p.Spec.Containers = []corev1.Container{{Name: "a", Ports: port(1)}, {Name: "b", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")}}}}
	p.Spec.InitContainers = []corev1.Container{{Name: "i", Ports: port(2)}, {Name: "s", RestartPolicy: &always, Ports: port(3)}}
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{}, MatchLabelKeys: []string{"v", "missing"}, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
	}}}}
	c, err := Compile(p, func(labels.Selector) []string { return []string{"other"} })
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Ports) != 2 || c.Ports[0].Number != 1 || c.Ports[1].Number != 3 {
		t.Errorf("ports %v: those of an init container that ends do not count", c.Ports)
	}
	if c.Request.MilliCPU != 1000 || c.Weight.MilliCPU != 1000+2*DefaultMilliCPU || c.Weight.Memory != 1<<30+2*DefaultMemory {
		t.Errorf("request %+v, weight %+v", c.Request, c.Weight)
	}
	like := func(ns, v string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Labels: map[string]string{"v": v}}}
	}
	term := c.AntiAffinity[0]
	if !term.Matches(like("other", "2")) || term.Matches(like("other", "1")) || term.Matches(like("ns", "2")) || !c.NamespaceSelectors {
		t.Error("the term's namespaces or label keys are not honoured")
	}
	if !c.SameRequest(p) {
		t.Error("a pod asks for more than itself")
	}
}

// TestHugeRequests: an amount that no number holds is more than any node has, never less than nothing.
func TestHugeRequests(t *testing.T) {
	for _, text := range []string{"9223372036854775807", "1e18", "9223372036854776", "99999999999999999999Ei", "5Ei"} {
		q := resource.MustParse(text)
		r := ResourceOf(corev1.ResourceList{
			corev1.ResourceCPU: q, corev1.ResourceMemory: q, corev1.ResourceEphemeralStorage: q, corev1.ResourcePods: q, "example.com/gpu": q,
		})
		var sum Resource
		for range 5000 {
			sum.Add(r)
		}
		for name, n := range map[string]int64{"cpu": sum.MilliCPU, "memory": sum.Memory, "storage": sum.Ephemeral, "pods": sum.Pods, "gpu": sum.Other["example.com/gpu"]} {
			if n < 5000*1<<50 {
				t.Errorf("%s of %s: 5000 pods ask for %d", name, text, n)
			}
		}
	}
	small := ResourceOf(corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("2Gi")})
	if small.MilliCPU != 1500 || small.Memory != 2<<30 {
		t.Errorf("%+v", small)
	}
}

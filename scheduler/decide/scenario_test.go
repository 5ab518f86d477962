package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"hyperkube/scheduler/decide"
	"hyperkube/scheduler/framework"
	"hyperkube/scheduler/plugins"
	"hyperkube/scheduler/snapshot"
)

// TestScenarios runs testdata: a cluster as text, and what is decided about it.
//
//	node name=n1 cpu=4 memory=8Gi pods=10 labels=(k=v) taints=(k=v:NoSchedule) images=(name=bytes) unschedulable
//	place name=p node=n1 cpu=1 …      a pod that is there already; the body is more of its spec as YAML
//	schedule name=p cpu=1 …           decide, and assume when it fits
//	preempt name=p cpu=1 priority=10  where would removing pods help?
//	nominate name=p node=n1 …         room is kept for a pending pod
//	budget labels=(k=v) allowed=1     a disruption budget
//	claim, volume, class              storage; the body is more of the object as YAML
//	device                            a resource claim; the body is more of it as YAML
//	remove name=p
//	show                              the nodes with their pods
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &scenario{T: t, storage: storage{}, decider: decide.New(plugins.All())}
		s.model = snapshot.New(&s.storage)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.T = t
			return s.run(d)
		})
	})
}

type scenario struct {
	*testing.T
	model   *snapshot.Model
	decider *decide.Decider
	storage storage
	budgets []budget
	next    int
}

type storage struct {
	claims  map[string]*corev1.PersistentVolumeClaim
	volumes map[string]*corev1.PersistentVolume
	delayed map[string]bool
	devices map[string]*resourcev1.ResourceClaim
}

func (s *storage) Claim(_, name string) *corev1.PersistentVolumeClaim { return s.claims[name] }
func (s *storage) Volume(name string) *corev1.PersistentVolume        { return s.volumes[name] }
func (s *storage) Delayed(class string) bool                          { return s.delayed[class] }
func (s *storage) Device(_, name string) *resourcev1.ResourceClaim    { return s.devices[name] }

type budget struct {
	selector labels.Selector
	allowed  int
}

func (s *scenario) run(d *datadriven.TestData) string {
	switch d.Cmd {
	case "node":
		s.model.SetNode(s.node(d))
	case "place":
		s.model.Place(s.pod(d), arg(d, "node", ""))
	case "remove":
		name := types.UID(arg(d, "name", ""))
		if !s.model.Remove(name) && !s.model.Denominate(name) {
			s.model.RemoveNode(string(name))
		}
	case "nominate":
		s.model.Nominate(s.pod(d), arg(d, "node", ""))
	case "budget":
		var allowed int
		d.ScanArgs(s.T, "allowed", &allowed)
		s.budgets = append(s.budgets, budget{labels.SelectorFromSet(pairs(d, "labels")), allowed})
	case "claim", "volume", "class", "device":
		s.store(d)
	case "schedule":
		return s.schedule(d)
	case "preempt":
		return s.preempt(d)
	case "show":
		return s.show()
	default:
		s.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	return ""
}

func (s *scenario) schedule(d *datadriven.TestData) string {
	p := s.pod(d)
	out := s.decider.Decide(p, s.model, s.next)
	s.next = out.Next(s.next, len(s.model.Nodes()))
	if out.Node == nil {
		return fmt.Sprintf("%s\nrefused by %s\n", decide.Explain(out, len(s.model.Nodes())), strings.Join(out.Rejecters, ", "))
	}
	s.model.Assume(p, out.Node.Name)
	return out.Node.Name + "\n"
}

func (s *scenario) preempt(d *datadriven.TestData) string {
	p := s.pod(d)
	out := s.decider.Decide(p, s.model, 0)
	if out.Node != nil {
		return "fits on " + out.Node.Name + "\n"
	}
	before := s.show()
	pre := s.decider.Preempt(p, s.model, out.Open, s.breaks)
	if after := s.show(); after != before {
		s.Errorf("preemption changed the model: %s, was %s", after, before)
	}
	if pre == nil {
		return decide.NoVictims(out, len(s.model.Nodes())) + "\n"
	}
	var names []string
	for _, v := range pre.Victims {
		names = append(names, v.Name)
	}
	return pre.Node.Name + " without " + strings.Join(names, ", ") + "\n"
}

func (s *scenario) breaks(pods []*framework.Pod) []bool {
	out, used := make([]bool, len(pods)), make([]int, len(s.budgets))
	for i, p := range pods {
		for j, b := range s.budgets {
			if b.selector.Matches(labels.Set(p.Labels)) {
				used[j]++
				out[i] = out[i] || used[j] > b.allowed
			}
		}
	}
	return out
}

func (s *scenario) show() string {
	var lines []string
	for _, n := range s.model.Nodes() {
		var names []string
		for _, p := range n.Pods {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		lines = append(lines, fmt.Sprintf("%s: %s (%dm cpu)\n", n.Name, strings.Join(names, " "), n.Requested.MilliCPU))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func (s *scenario) node(d *datadriven.TestData) *corev1.Node {
	name := arg(d, "name", "")
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: pairs(d, "labels")}}
	n.Labels[corev1.LabelHostname] = name
	n.Spec.Unschedulable = d.HasArg("unschedulable")
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: quantity(d, "cpu", "4"), corev1.ResourceMemory: quantity(d, "memory", "8Gi"), corev1.ResourcePods: quantity(d, "pods", "110"),
		corev1.ResourceEphemeralStorage: quantity(d, "storage", "10Gi"),
	}
	if d.HasArg("gpu") {
		n.Status.Allocatable["example.com/gpu"] = quantity(d, "gpu", "")
	}
	for _, v := range values(d, "taints") {
		kv, effect, _ := strings.Cut(v, ":")
		k, val, _ := strings.Cut(kv, "=")
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: k, Value: val, Effect: corev1.TaintEffect(effect)})
	}
	for name, size := range pairs(d, "images") {
		q := resource.MustParse(size)
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{name}, SizeBytes: q.Value()})
	}
	return n
}

func (s *scenario) pod(d *datadriven.TestData) *framework.Pod {
	name := arg(d, "name", "")
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: arg(d, "namespace", "default"), UID: types.UID(name), Labels: pairs(d, "labels")}}
	requests := corev1.ResourceList{}
	for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if d.HasArg(string(r)) {
			requests[r] = quantity(d, string(r), "")
		}
	}
	if d.HasArg("gpu") {
		requests["example.com/gpu"] = quantity(d, "gpu", "")
	}
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: arg(d, "image", "x"), Resources: corev1.ResourceRequirements{Requests: requests}}}
	if d.HasArg("priority") {
		p.Spec.Priority = new(int32)
		d.ScanArgs(s.T, "priority", p.Spec.Priority)
	}
	if d.HasArg("port") {
		port := corev1.ContainerPort{HostIP: arg(d, "hostip", "")}
		d.ScanArgs(s.T, "port", &port.HostPort)
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{port}
	}
	if d.HasArg("owner") {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(arg(d, "owner", "")), Controller: &yes}}
	}
	if d.HasArg("terminating") {
		p.DeletionTimestamp = &metav1.Time{}
	}
	if d.HasArg("started") {
		at := int64(0)
		d.ScanArgs(s.T, "started", &at)
		started := metav1.Unix(at, 0)
		p.Status.StartTime = &started
	}
	s.yaml(d, &p.Spec)
	c, err := framework.Compile(p, func(sel labels.Selector) []string {
		var out []string
		for _, ns := range []string{"default", "other"} {
			if sel.Matches(labels.Set{"name": ns}) {
				out = append(out, ns)
			}
		}
		return out
	})
	if err != nil {
		s.Fatalf("%s: %v", d.Pos, err)
	}
	return c
}

func (s *scenario) store(d *datadriven.TestData) {
	name := arg(d, "name", "")
	switch d.Cmd {
	case "claim":
		c := &corev1.PersistentVolumeClaim{}
		s.yaml(d, c)
		if c.Spec.VolumeName != "" {
			c.Status.Phase = corev1.ClaimBound
		}
		if s.storage.claims == nil {
			s.storage.claims = map[string]*corev1.PersistentVolumeClaim{}
		}
		s.storage.claims[name] = c
	case "volume":
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Labels: pairs(d, "labels")}}
		s.yaml(d, v)
		s.storage.volumes = map[string]*corev1.PersistentVolume{name: v}
	case "class":
		s.storage.delayed = map[string]bool{name: true}
	case "device":
		c := &resourcev1.ResourceClaim{}
		s.yaml(d, c)
		if s.storage.devices == nil {
			s.storage.devices = map[string]*resourcev1.ResourceClaim{}
		}
		s.storage.devices[name] = c
	}
}

func (s *scenario) yaml(d *datadriven.TestData, into any) {
	if err := yaml.UnmarshalStrict([]byte(d.Input), into); err != nil {
		s.Fatalf("%s: %v", d.Pos, err)
	}
}

func arg(d *datadriven.TestData, key, missing string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return missing
}

func values(d *datadriven.TestData, key string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func pairs(d *datadriven.TestData, key string) map[string]string {
	out := map[string]string{}
	for _, v := range values(d, key) {
		k, val, _ := strings.Cut(v, "=")
		out[k] = val
	}
	return out
}

func quantity(d *datadriven.TestData, key, missing string) resource.Quantity {
	return resource.MustParse(arg(d, key, missing))
}

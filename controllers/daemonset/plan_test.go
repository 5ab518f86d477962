package daemonset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"hyperkube/controllers/podctl"
)

// TestScenarios runs testdata: a daemon set, step by step. Commands:
//
//	spec                the set's spec, or fields of it that change, as YAML
//	template v2         the template changes: a new hash
//	nodes a b … [label=l] [taint=key:Effect]   those nodes are (again) as told
//	lose a …            those nodes are gone
//	ready [p1 …] / unready p1 … / fail p1 … / succeed p1 … / delete p1 …
//	gone                what is being deleted has ended
//	wait seconds=S
//	step [rounds=N]     plan and apply; show what was done and the status
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{now: time.Unix(1e9, 0), hash: "v1", set: &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "n", UID: "d"}}, notUntil: map[string]time.Time{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return w.do(t, d) })
	})
}

type world struct {
	now      time.Time
	set      *appsv1.DaemonSet
	hash     string
	nodes    []*corev1.Node
	pods     []*corev1.Pod
	notUntil map[string]time.Time
	made     int
}

func (w *world) do(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "spec":
		if err := yaml.Unmarshal([]byte(d.Input), &w.set.Spec); err != nil {
			d.Fatalf(t, "%v", err)
		}
	case "template":
		w.hash = d.CmdArgs[0].Key
	case "nodes", "lose":
		w.change(d)
	case "ready", "unready", "fail", "succeed", "delete":
		for _, p := range w.pods {
			if len(d.CmdArgs) == 0 || slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == p.Name }) {
				w.happen(p, d.Cmd)
			}
		}
	case "gone":
		w.pods = slices.DeleteFunc(w.pods, func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	case "wait":
		var n int
		d.ScanArgs(t, "seconds", &n)
		w.now = w.now.Add(time.Duration(n) * time.Second)
	case "step":
		n := 1
		d.MaybeScanArgs(t, "rounds", &n)
		var b strings.Builder
		for range n {
			w.step(&b)
		}
		return b.String()
	default:
		return "unknown command"
	}
	return ""
}

func (w *world) change(d *datadriven.TestData) {
	var taints []corev1.Taint
	labels := map[string]string{}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "label":
			labels[a.Vals[0]] = "yes"
		case "taint":
			key, effect, _ := strings.Cut(a.Vals[0], ":")
			taints = append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffect(effect)})
		}
	}
	for _, a := range d.CmdArgs {
		if len(a.Vals) > 0 {
			continue
		}
		w.nodes = slices.DeleteFunc(w.nodes, func(n *corev1.Node) bool { return n.Name == a.Key })
		if d.Cmd == "nodes" {
			w.nodes = append(w.nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.Key, Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}})
		}
	}
}

func (w *world) happen(p *corev1.Pod, what string) {
	is := corev1.ConditionFalse
	switch what {
	case "delete":
		at := metav1.NewTime(w.now)
		p.DeletionTimestamp = &at
		return
	case "fail":
		p.Status.Phase = corev1.PodFailed
		return
	case "succeed":
		p.Status.Phase = corev1.PodSucceeded
		return
	case "ready":
		is = corev1.ConditionTrue
	}
	p.Status.Phase, p.Spec.NodeName = corev1.PodRunning, nodeOf(p)
	if len(p.Status.Conditions) == 0 || p.Status.Conditions[0].Status != is {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: is, LastTransitionTime: metav1.NewTime(w.now)}}
	}
}

func (w *world) step(b *strings.Builder) {
	s := snapshot{set: w.set.DeepCopy(), hash: w.hash, nodes: w.nodes, notUntil: w.notUntil, now: w.now}
	for _, p := range w.pods {
		s.pods = append(s.pods, p.DeepCopy())
	}
	p := planDaemons(s)
	for _, pod := range p.failed {
		reason, _ := failedMessage(pod)
		fmt.Fprintf(b, "event %s\n", reason)
		w.notUntil[nodeOf(pod)] = w.now.Add(firstPause)
	}
	for _, pod := range p.remove {
		fmt.Fprintf(b, "remove %s\n", pod.Name)
		w.happen(w.pods[slices.IndexFunc(w.pods, func(q *corev1.Pod) bool { return q.Name == pod.Name })], "delete")
	}
	for _, node := range p.create {
		w.made++
		pod := podctl.FromTemplate(&w.set.Spec.Template, w.set, gvk)
		pod.Name = fmt.Sprint("p", w.made)
		pod.UID, pod.Status.Phase, pod.CreationTimestamp = types.UID(pod.Name), corev1.PodPending, metav1.NewTime(w.now)
		metav1.SetMetaDataLabel(&pod.ObjectMeta, appsv1.ControllerRevisionHashLabelKey, w.hash)
		pin(&pod.Spec, node)
		fmt.Fprintf(b, "create %s on %s from %s\n", pod.Name, node, w.hash)
		w.pods = append(w.pods, pod)
	}
	if p.after > 0 {
		fmt.Fprintf(b, "again after %s\n", p.after)
	}
	st := p.status
	w.set.Status = st
	fmt.Fprintf(b, "desired %d current %d updated %d ready %d available %d unavailable %d misscheduled %d\n", st.DesiredNumberScheduled,
		st.CurrentNumberScheduled, st.UpdatedNumberScheduled, st.NumberReady, st.NumberAvailable, st.NumberUnavailable, st.NumberMisscheduled)
}

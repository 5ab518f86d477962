package nodelifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestScenarios runs testdata: nodes in time. Commands:
//
//	node a [zone=z] [taint=key]   a new node that has not reported
//	report a [ready=false] [memory=true]   its kubelet posts its status
//	renew a …                  its lease is renewed
//	cordon a / uncordon a
//	wait seconds=S
//	look [a …]                 plan and apply for each node as the controller does; show the nodes
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{start: time.Unix(1e9, 0), now: time.Unix(1e9, 0), seen: map[string]time.Time{}, zones: zones{rate: 0.1}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "node":
				w.add(t, d)
			case "report":
				w.report(t, d)
			case "renew":
				for _, n := range w.named(t, d) {
					w.seen[n.Name] = w.now
				}
			case "cordon", "uncordon":
				for _, n := range w.named(t, d) {
					n.Spec.Unschedulable = d.Cmd == "cordon"
				}
			case "wait":
				var n int
				d.ScanArgs(t, "seconds", &n)
				w.now = w.now.Add(time.Duration(n) * time.Second)
			case "look":
				var b strings.Builder
				for _, n := range w.named(t, d) {
					w.look(&b, n)
				}
				return b.String()
			default:
				return "unknown command"
			}
			return ""
		})
	})
}

type world struct {
	start, now time.Time
	nodes      []*corev1.Node
	seen       map[string]time.Time
	zones      zones
}

func (w *world) all() []*corev1.Node { return w.nodes }

func (w *world) named(t *testing.T, d *datadriven.TestData) []*corev1.Node {
	var out []*corev1.Node
	for _, a := range d.CmdArgs {
		if len(a.Vals) > 0 {
			continue
		}
		for _, n := range w.nodes {
			if n.Name == a.Key {
				out = append(out, n)
			}
		}
	}
	if len(out) == 0 && len(d.CmdArgs) > 0 {
		d.Fatalf(t, "no such node")
	}
	if len(d.CmdArgs) == 0 {
		return w.nodes
	}
	return out
}

func (w *world) add(t *testing.T, d *datadriven.TestData) {
	zone, taint := "", ""
	d.MaybeScanArgs(t, "zone", &zone)
	d.MaybeScanArgs(t, "taint", &taint)
	for _, a := range d.CmdArgs {
		if len(a.Vals) > 0 {
			continue
		}
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.Key, CreationTimestamp: metav1.NewTime(w.now), Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
		if taint != "" {
			n.Spec.Taints = []corev1.Taint{{Key: taint, Effect: corev1.TaintEffectNoSchedule}}
		}
		w.nodes = append(w.nodes, n)
		w.seen[n.Name] = w.now
	}
}

func (w *world) report(t *testing.T, d *datadriven.TestData) {
	ready, memory := true, false
	d.MaybeScanArgs(t, "ready", &ready)
	d.MaybeScanArgs(t, "memory", &memory)
	for _, n := range w.named(t, d) {
		w.seen[n.Name] = w.now
		n.Status.Conditions = nil
		for _, c := range watched {
			is := corev1.ConditionFalse
			if c == corev1.NodeReady && ready || c == corev1.NodeMemoryPressure && memory {
				is = corev1.ConditionTrue
			}
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: c, Status: is, Reason: "Kubelet", LastHeartbeatTime: metav1.NewTime(w.now)})
		}
	}
}

// look does what reconcile does between reading and writing.
func (w *world) look(b *strings.Builder, n *corev1.Node) {
	s := snapshot{node: n.DeepCopy(), seen: w.seen[n.Name], now: w.now, graces: graces{50 * time.Second, 60 * time.Second}}
	p := planNode(s, func(n *corev1.Node) verdict { return w.zones.may(n, w.all, w.now) })
	if p.conditions != nil {
		n.Status.Conditions = p.conditions
	}
	if p.taints != nil {
		n.Spec.Taints = p.taints
	}
	fmt.Fprintf(b, "%s:", n.Name)
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady || c.Status == corev1.ConditionTrue {
			fmt.Fprintf(b, " %s=%s (%s)", c.Type, c.Status, c.Reason)
		}
	}
	for _, t := range n.Spec.Taints {
		fmt.Fprintf(b, "\n  %s:%s", t.Key, t.Effect)
		if t.TimeAdded != nil {
			fmt.Fprintf(b, " since %s", t.TimeAdded.Sub(w.start))
		}
	}
	if p.after > 0 {
		fmt.Fprintf(b, "\n  again after %s", p.after)
	}
	fmt.Fprintln(b)
}

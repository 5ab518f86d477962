package replicaset

import (
	"errors"
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
)

// TestScenarios runs testdata: a set and its pods. Commands:
//
//	set replicas=N [min-ready=S]
//	pods                a line each: name [node=n] [phase=P] [ready=S ago] [cost=N] [restarts=N] [age=S] [deleted] [other]
//	plan [failed=why]   what is made and removed, and the status; failed is what came of it
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		now := time.Unix(1e9, 0)
		s := snapshot{now: now, set: &appsv1.ReplicaSet{}, related: map[string]int{}}
		s.set.Spec.Template.Labels = map[string]string{"app": "a"}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "set":
				var n int32
				d.ScanArgs(t, "replicas", &n)
				d.MaybeScanArgs(t, "min-ready", &s.set.Spec.MinReadySeconds)
				s.set.Spec.Replicas = &n
			case "pods":
				s.pods, s.related = nil, map[string]int{}
				for line := range strings.Lines(d.Input) {
					p := podFrom(line, now)
					s.pods = append(s.pods, p)
					s.related[p.Spec.NodeName]++
				}
			case "plan":
				return draw(t, d, s)
			default:
				return "unknown command"
			}
			return ""
		})
	})
}

func podFrom(line string, now time.Time) *corev1.Pod {
	words := strings.Fields(line)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0], UID: types.UID(words[0]), Labels: map[string]string{"app": "a"}}}
	p.Status.Phase = corev1.PodRunning
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		var n int
		fmt.Sscan(v, &n)
		ago := metav1.NewTime(now.Add(-time.Duration(n) * time.Second))
		switch k {
		case "node":
			p.Spec.NodeName = v
		case "phase":
			p.Status.Phase = corev1.PodPhase(v)
		case "ready":
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: ago}}
		case "cost":
			p.Annotations = map[string]string{corev1.PodDeletionCost: v}
		case "restarts":
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: int32(n)}}
		case "age":
			p.CreationTimestamp = ago
		case "deleted":
			p.DeletionTimestamp = &ago
		case "other":
			p.Labels = map[string]string{"app": "b"}
		}
	}
	return p
}

func draw(t *testing.T, d *datadriven.TestData, s snapshot) string {
	var b strings.Builder
	p := planPods(s)
	if p.create > 0 {
		fmt.Fprintf(&b, "create %d\n", p.create)
	}
	for _, pod := range p.delete {
		fmt.Fprintf(&b, "delete %s\n", pod.Name)
	}
	var failed error
	if slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == "failed" }) {
		var why string
		d.ScanArgs(t, "failed", &why)
		failed = errors.New(why)
	}
	st, after := planStatus(s, p, failed)
	s.set.Status = st
	fmt.Fprintf(&b, "replicas %d labeled %d ready %d available %d terminating %d\n", st.Replicas, st.FullyLabeledReplicas, st.ReadyReplicas, st.AvailableReplicas, *st.TerminatingReplicas)
	for _, c := range st.Conditions {
		fmt.Fprintf(&b, "%s %s: %s (%s)\n", c.Type, c.Status, c.Reason, c.Message)
	}
	if after > 0 {
		fmt.Fprintf(&b, "again after %s\n", after)
	}
	return b.String()
}

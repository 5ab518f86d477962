package disruption

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestScenarios runs testdata: a budget and its pods. Commands:
//
//	budget              its spec as YAML
//	pods scale=N        a line each: name [ready] [deleted] [evicted=S ago]; scale is what their controllers want
//	wait seconds=S
//	status              planned and written
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := snapshot{now: time.Unix(1e9, 0), budget: &policyv1.PodDisruptionBudget{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "budget":
				s.budget.Spec = policyv1.PodDisruptionBudgetSpec{}
				s.budget.Generation++
				if err := yaml.Unmarshal([]byte(d.Input), &s.budget.Spec); err != nil {
					d.Fatalf(t, "%v", err)
				}
			case "pods":
				d.ScanArgs(t, "scale", &s.scale)
				s.pods = nil
				for line := range strings.Lines(d.Input) {
					s.pods = append(s.pods, s.pod(line))
				}
			case "wait":
				var n int
				d.ScanArgs(t, "seconds", &n)
				s.now = s.now.Add(time.Duration(n) * time.Second)
			case "status":
				return s.draw()
			default:
				return "unknown command"
			}
			return ""
		})
	})
}

func (s *snapshot) pod(line string) *corev1.Pod {
	words := strings.Fields(line)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: words[0]}}
	for _, w := range words[1:] {
		switch k, v, _ := strings.Cut(w, "="); k {
		case "ready":
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		case "deleted":
			p.DeletionTimestamp = &metav1.Time{Time: s.now}
		case "evicted":
			var n int
			fmt.Sscan(v, &n)
			if s.budget.Status.DisruptedPods == nil {
				s.budget.Status.DisruptedPods = map[string]metav1.Time{}
			}
			s.budget.Status.DisruptedPods[p.Name] = metav1.NewTime(s.now.Add(-time.Duration(n) * time.Second))
		}
	}
	return p
}

func (s *snapshot) draw() string {
	st, after, err := planStatus(*s)
	s.budget.Status = st
	out := fmt.Sprintf("expected %d desired %d healthy %d allowed %d disrupted %d\n", st.ExpectedPods, st.DesiredHealthy, st.CurrentHealthy, st.DisruptionsAllowed, len(st.DisruptedPods))
	for _, c := range st.Conditions {
		out += fmt.Sprintf("%s %s: %s %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	if after > 0 {
		out += fmt.Sprintf("again after %s\n", after)
	}
	if err != nil {
		out += fmt.Sprintf("error: %v\n", err)
	}
	return out
}

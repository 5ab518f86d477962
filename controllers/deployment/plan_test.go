package deployment

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestScenarios runs testdata: a deployment, step by step, with its replica sets reporting what a
// scenario says. Commands:
//
//	deployment [replicas=N] [surge=X] [unavailable=X] [deadline=S] [paused=true] [strategy=Recreate] [template=T] [history=N]
//	report [ready=N]   every set gets its pods, of which N at most of each are available
//	wait seconds=S
//	step               plan once, apply, show
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld(rand.New(rand.NewSource(1)))
		names := map[string]string{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "deployment":
				w.configure(t, d)
				return ""
			case "report":
				limit := 1 << 30
				d.MaybeScanArgs(t, "ready", &limit)
				for _, s := range w.sets {
					pods := make([]bool, sizeOf(s))
					for i := range pods {
						pods[i] = i < limit
					}
					w.pods[s.Name], w.seen[s.Name] = pods, s.Generation
					w.report(s)
				}
				return ""
			case "wait":
				var n int
				d.ScanArgs(t, "seconds", &n)
				w.now = w.now.Add(time.Duration(n) * time.Second)
				return ""
			case "step":
				w.step(t)
				return w.draw(names)
			}
			return "unknown command"
		})
	})
}

func (w *world) configure(t *testing.T, d *datadriven.TestData) {
	w.d.Generation++
	for _, a := range d.CmdArgs {
		v := a.Vals[0]
		var n int32
		fmt.Sscan(v, &n)
		of := intstr.Parse(v)
		switch a.Key {
		case "replicas":
			w.d.Spec.Replicas = &n
		case "surge":
			w.d.Spec.Strategy.RollingUpdate.MaxSurge = &of
		case "unavailable":
			w.d.Spec.Strategy.RollingUpdate.MaxUnavailable = &of
		case "deadline":
			w.d.Spec.ProgressDeadlineSeconds = &n
		case "history":
			w.d.Spec.RevisionHistoryLimit = &n
		case "paused":
			w.d.Spec.Paused = v == "true"
		case "strategy":
			w.d.Spec.Strategy.Type = appsv1.DeploymentStrategyType(v)
		case "template":
			w.d.Spec.Template.Spec.Hostname = v
		default:
			d.Fatalf(t, "unknown argument %s", a.Key)
		}
	}
}

// draw shows the sets under short names in order of their making, and the status.
func (w *world) draw(names map[string]string) string {
	var b strings.Builder
	sets := slices.SortedFunc(slices.Values(w.sets), byAge)
	for _, s := range sets {
		if names[s.Name] == "" {
			names[s.Name] = fmt.Sprint("set", len(names)+1)
		}
		fmt.Fprintf(&b, "%s %s: size %d", names[s.Name], s.Spec.Template.Spec.Hostname, sizeOf(s))
		fmt.Fprintf(&b, " revision %s", s.Annotations[revisionAnnotation])
		if h := s.Annotations[historyAnnotation]; h != "" {
			fmt.Fprintf(&b, " history %s", h)
		}
		fmt.Fprintln(&b)
	}
	st := w.d.Status
	fmt.Fprintf(&b, "status: %d replicas, %d updated, %d available, %d unavailable; revision %s\n",
		st.Replicas, st.UpdatedReplicas, st.AvailableReplicas, st.UnavailableReplicas, w.d.Annotations[revisionAnnotation])
	for _, c := range st.Conditions {
		message := c.Message
		for name, short := range names {
			message = strings.ReplaceAll(message, name, short)
		}
		if c.Type == appsv1.DeploymentAvailable {
			fmt.Fprintf(&b, "%s %s: %s\n", c.Type, c.Status, c.Reason)
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s (%s)\n", c.Type, c.Status, c.Reason, message)
	}
	return b.String()
}

func TestHashIsStableAndSafe(t *testing.T) {
	tmpl := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "b"}}}}
	first, err := templateHash(tmpl, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := templateHash(tmpl.DeepCopy(), nil)
	one := int32(1)
	other, _ := templateHash(tmpl, &one)
	if first != again || first == other || strings.Trim(first, "bcdfghjklmnpqrstvwxz2456789") != "" {
		t.Errorf("hashes %s, %s, after a collision %s", first, again, other)
	}
}

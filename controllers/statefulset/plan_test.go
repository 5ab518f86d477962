package statefulset

import (
	"cmp"
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
)

// TestScenarios runs testdata: a set, step by step, with pods that do what a scenario says. Commands:
//
//	spec               the set's spec, or fields of it that change, as YAML
//	template v2        the template changes: a new revision
//	ready [s-0 …]      all pods, or these, run and are ready
//	unready s-0 …      these run and are not ready
//	fail s-0 …         these have failed
//	delete s-0 …       somebody deletes these
//	gone               what is being deleted has ended
//	wait seconds=S
//	step [rounds=N]    plan and apply; show what was done and the status
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{now: time.Unix(1e9, 0), update: "v1", set: &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "s"}}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "spec":
				if err := yaml.Unmarshal([]byte(d.Input), &w.set.Spec); err != nil {
					d.Fatalf(t, "%v", err)
				}
			case "template":
				w.update = d.CmdArgs[0].Key
			case "ready", "unready", "fail", "delete":
				for _, p := range w.named(t, d) {
					w.happen(p, d.Cmd)
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
				w.draw(&b)
				return b.String()
			default:
				return "unknown command"
			}
			return ""
		})
	})
}

type world struct {
	now    time.Time
	set    *appsv1.StatefulSet
	update string
	pods   []*corev1.Pod
	made   int
}

func (w *world) named(t *testing.T, d *datadriven.TestData) []*corev1.Pod {
	if len(d.CmdArgs) == 0 {
		return w.pods
	}
	var out []*corev1.Pod
	for _, a := range d.CmdArgs {
		i := slices.IndexFunc(w.pods, func(p *corev1.Pod) bool { return p.Name == a.Key })
		if i < 0 {
			d.Fatalf(t, "no pod %s", a.Key)
		}
		out = append(out, w.pods[i])
	}
	return out
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
	case "ready":
		is = corev1.ConditionTrue
	}
	p.Status.Phase = corev1.PodRunning
	if len(p.Status.Conditions) == 1 && p.Status.Conditions[0].Status == is {
		return
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: is, LastTransitionTime: metav1.NewTime(w.now)}}
}

func (w *world) step(b *strings.Builder) {
	s := snapshot{set: w.set.DeepCopy(), current: cmp.Or(w.set.Status.CurrentRevision, w.update), update: w.update, now: w.now}
	for _, p := range w.pods {
		s.pods = append(s.pods, p.DeepCopy())
	}
	p := planPods(s)
	for _, pod := range p.remove {
		fmt.Fprintf(b, "remove %s\n", pod.Name)
		w.happen(w.pods[slices.IndexFunc(w.pods, func(q *corev1.Pod) bool { return q.Name == pod.Name })], "delete")
	}
	for _, slot := range p.create {
		revision := s.current
		if slot.update {
			revision = s.update
		}
		pod := podOf(w.set, &w.set.Spec.Template, revision, slot.ordinal)
		w.made++
		pod.UID, pod.Status.Phase = types.UID(fmt.Sprint(w.made)), corev1.PodPending
		fmt.Fprintf(b, "create %s from %s\n", pod.Name, revision)
		w.pods = append(w.pods, pod)
	}
	for _, pod := range p.repair {
		fmt.Fprintf(b, "repair %s\n", pod.Name)
	}
	if p.after > 0 {
		fmt.Fprintf(b, "again after %s\n", p.after)
	}
	w.set.Status = p.status
}

func (w *world) draw(b *strings.Builder) {
	st := w.set.Status
	fmt.Fprintf(b, "replicas %d ready %d available %d current %d of %s updated %d of %s\n", st.Replicas, st.ReadyReplicas, st.AvailableReplicas,
		st.CurrentReplicas, st.CurrentRevision, st.UpdatedReplicas, st.UpdateRevision)
}

func TestClaimOwners(t *testing.T) {
	keep, drop := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "s", UID: "set"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "s-0", UID: "pod"}}
	bySet := metav1.OwnerReference{Kind: "StatefulSet", Name: "s", UID: "set"}
	byPod := metav1.OwnerReference{Kind: "Pod", Name: "s-0", UID: "pod"}
	before := metav1.OwnerReference{Kind: "Pod", Name: "s-0", UID: "before"}
	yes := true
	other := metav1.OwnerReference{Kind: "X", Name: "x", UID: "x", Controller: &yes}
	for _, x := range []struct {
		name            string
		deleted, scaled appsv1.PersistentVolumeClaimRetentionPolicyType
		condemned       bool
		have            []metav1.OwnerReference
		want            string
		same            bool
	}{
		{"kept in any case", keep, keep, true, nil, "", true},
		{"kept again", keep, keep, false, []metav1.OwnerReference{bySet, byPod}, "", false},
		{"goes with the set", drop, keep, true, nil, "set", false},
		{"has it", drop, keep, false, []metav1.OwnerReference{bySet}, "set", true},
		{"goes when scaled", keep, drop, true, nil, "pod", false},
		{"not scaled", keep, drop, false, []metav1.OwnerReference{byPod}, "", false},
		{"a pod before this one", keep, drop, true, []metav1.OwnerReference{before}, "pod", false},
		{"both: scaled", drop, drop, true, []metav1.OwnerReference{bySet}, "pod", false},
		{"both: not scaled", drop, drop, false, nil, "set", false},
		{"somebody else's", drop, drop, false, []metav1.OwnerReference{other}, "x", true},
	} {
		t.Run(x.name, func(t *testing.T) {
			set.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: x.deleted, WhenScaled: x.scaled}
			c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{OwnerReferences: x.have}}
			owners, same := claimOwners(set, c, pod, x.condemned)
			var got []string
			for _, o := range owners {
				got = append(got, string(o.UID))
			}
			if strings.Join(got, " ") != x.want || same != x.same {
				t.Errorf("owners %v, same %t; want %q, %t", got, same, x.want, x.same)
			}
		})
	}
}

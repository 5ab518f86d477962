package deployment

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// world is a deployment with the replica set controller and the kubelets played by chance: sizes, pods,
// readiness and reports each move at their own time.
type world struct {
	r    *rand.Rand
	d    *appsv1.Deployment
	sets []*appsv1.ReplicaSet
	pods map[string][]bool // by set: whether each pod is ready
	seen map[string]int64  // by set: the generation that its controller acted upon
	now  time.Time
	made int
}

func newWorld(r *rand.Rand) *world {
	n := int32(r.Intn(12))
	value := func() *intstr.IntOrString {
		v := intstr.FromInt32(int32(r.Intn(4)))
		if r.Intn(2) == 0 {
			v = intstr.FromString(fmt.Sprintf("%d%%", r.Intn(101)))
		}
		return &v
	}
	deadline := int32(600)
	return &world{r: r, pods: map[string][]bool{}, seen: map[string]int64{}, now: time.Unix(1e9, 0), d: &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "n", UID: "d", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, ProgressDeadlineSeconds: &deadline,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: value(), MaxUnavailable: value()}},
		},
	}}
}

func (w *world) set(name string) *appsv1.ReplicaSet {
	for _, s := range w.sets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// step plans once and applies the plan.
func (w *world) step(t *testing.T) {
	w.now = w.now.Add(time.Second)
	p, err := planNext(snapshot{deployment: w.d.DeepCopy(), sets: w.sets, now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	if p.create != nil {
		w.made++
		s := p.create.DeepCopy()
		s.UID, s.CreationTimestamp, s.Generation = types.UID(s.Name), metav1.NewTime(w.now), 1
		w.sets = append(w.sets, s)
	}
	for _, u := range p.update {
		if sizeOf(u) != sizeOf(w.set(u.Name)) {
			u.Generation++
		}
		*w.set(u.Name) = *u
	}
	w.sets = slices.DeleteFunc(w.sets, func(s *appsv1.ReplicaSet) bool { return slices.Contains(p.remove, s) })
	if p.revision != "" {
		metav1.SetMetaDataAnnotation(&w.d.ObjectMeta, revisionAnnotation, p.revision)
	}
	w.d.Status = p.status
}

// drift lets one thing happen somewhere.
func (w *world) drift(healthy bool) {
	if len(w.sets) == 0 {
		return
	}
	s := w.sets[w.r.Intn(len(w.sets))]
	pods := w.pods[s.Name]
	switch w.r.Intn(3) {
	case 0: // the replica set controller: unready pods go first
		w.seen[s.Name] = s.Generation
		for len(pods) < int(sizeOf(s)) {
			pods = append(pods, false)
		}
		for len(pods) > int(sizeOf(s)) {
			at := 0
			for i, ready := range pods {
				if !ready {
					at = i
					break
				}
			}
			pods = append(pods[:at], pods[at+1:]...)
		}
	case 1: // a kubelet
		if len(pods) > 0 && healthy {
			pods[w.r.Intn(len(pods))] = true
		}
	case 2:
		w.report(s)
	}
	w.pods[s.Name] = pods
}

func (w *world) report(s *appsv1.ReplicaSet) {
	pods := w.pods[s.Name]
	s.Status.Replicas, s.Status.ReadyReplicas = int32(len(pods)), 0
	for _, ready := range pods {
		if ready {
			s.Status.ReadyReplicas++
		}
	}
	s.Status.AvailableReplicas = s.Status.ReadyReplicas
	s.Status.ObservedGeneration = w.seen[s.Name]
}

func (w *world) available() (n int32) {
	for _, pods := range w.pods {
		for _, ready := range pods {
			if ready {
				n++
			}
		}
	}
	return n
}

func (w *world) settled() bool {
	return complete(w.d, w.d.Status) && w.available() == replicasOf(w.d)
}

// settle runs until the rollout is complete.
func (w *world) settle(t *testing.T, check func()) {
	for i := 0; !w.settled(); i++ {
		if i > 20000 {
			t.Fatalf("does not converge: %+v", w.d.Status)
		}
		if w.r.Intn(3) == 0 {
			w.step(t)
		}
		w.drift(true)
		check()
	}
}

func (w *world) newTemplate(n int) {
	w.d.Generation++
	w.d.Spec.Template.Spec.Hostname = fmt.Sprint("v", n)
}

func TestRolloutKeepsItsPromises(t *testing.T) {
	for seed := range int64(120) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(rand.New(rand.NewSource(seed)))
			w.settle(t, func() {})
			surge, unavailable := bounds(w.d)
			promise := func() {
				if got, most := total(w.sets, sizeOf), int64(replicasOf(w.d)+surge); got > most {
					t.Fatalf("%d pods wanted, at most %d promised", got, most)
				}
				if got, least := w.available(), replicasOf(w.d)-unavailable; got < least {
					t.Fatalf("%d pods available, at least %d promised (surge %d)", got, least, surge)
				}
			}
			for v := range 3 {
				w.newTemplate(v)
				// Sometimes the next template comes in the middle of the rollout, or this one never gets ready.
				for range w.r.Intn(200) {
					w.step(t)
					w.drift(w.r.Intn(4) != 0)
					promise()
				}
			}
			w.newTemplate(w.r.Intn(3)) // perhaps back to one there was
			w.settle(t, promise)
			before := w.made
			w.step(t)
			if w.made != before {
				t.Error("a settled deployment makes sets")
			}
		})
	}
}

func TestScalingConverges(t *testing.T) {
	for seed := range int64(80) {
		w := newWorld(rand.New(rand.NewSource(seed)))
		w.settle(t, func() {})
		w.newTemplate(1)
		for range 30 {
			w.step(t)
			w.drift(true)
		}
		for range 3 { // in the middle of the rollout
			n := int32(w.r.Intn(20))
			w.d.Spec.Replicas, w.d.Generation = &n, w.d.Generation+1
			for range w.r.Intn(20) {
				w.step(t)
				w.drift(true)
			}
		}
		w.settle(t, func() {})
	}
}

package endpointslice

import (
	"fmt"
	"math/rand"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(i int, ready, going bool, port int32) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%04d", i), Namespace: "n", UID: types.UID(fmt.Sprint(i))},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port}}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}}},
	}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if going {
		now := metav1.Now()
		p.DeletionTimestamp = &now
	}
	return p
}

// TestSlicesFollowPods plays random changes and checks after each that the slices hold every pod once, in the
// right state, in no slice over the limit, and that a second plan has nothing to do.
func TestSlicesFollowPods(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "svc"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"a": "b"}, ClusterIP: "10.32.0.1",
			Ports: []corev1.ServicePort{{Name: "web", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")}}}}
	for seed := range int64(30) {
		r := rand.New(rand.NewSource(seed))
		pods := map[int]*corev1.Pod{}
		var have []*discoveryv1.EndpointSlice
		made := 0
		for step := range 40 {
			for range 1 + r.Intn(60) {
				i := r.Intn(600)
				if r.Intn(3) == 0 {
					delete(pods, i)
				} else {
					pods[i] = pod(i, r.Intn(3) != 0, r.Intn(6) == 0, 8000+int32(r.Intn(10)/9))
				}
			}
			s := snapshot{service: svc, zones: map[string]string{"node": "z"}, slices: have}
			for i := range 600 {
				if p, ok := pods[i]; ok {
					s.pods = append(s.pods, p)
				}
			}
			p := planSlices(s)
			have = applied(have, p, &made)
			check(t, seed, step, s.pods, have)
			s.slices = have
			if again := planSlices(s); len(again.create)+len(again.update)+len(again.remove) > 0 {
				t.Fatalf("seed %d step %d: not stable: %+v", seed, step, again)
			}
		}
	}
}

func applied(have []*discoveryv1.EndpointSlice, p plan, made *int) []*discoveryv1.EndpointSlice {
	byName := map[string]*discoveryv1.EndpointSlice{}
	for _, s := range have {
		byName[s.Name] = s
	}
	for _, s := range p.update {
		byName[s.Name] = s
	}
	for _, s := range p.remove {
		delete(byName, s.Name)
	}
	for _, s := range p.create {
		*made++
		s.Name = fmt.Sprintf("s-%05d", *made)
		byName[s.Name] = s
	}
	var out []*discoveryv1.EndpointSlice
	for _, s := range byName {
		out = append(out, s)
	}
	return out
}

func check(t *testing.T, seed int64, step int, pods []*corev1.Pod, have []*discoveryv1.EndpointSlice) {
	t.Helper()
	seen := map[types.UID]discoveryv1.Endpoint{}
	for _, s := range have {
		if len(s.Endpoints) > maxPerOne {
			t.Fatalf("seed %d step %d: slice of %d", seed, step, len(s.Endpoints))
		}
		for _, e := range s.Endpoints {
			if _, twice := seen[e.TargetRef.UID]; twice {
				t.Fatalf("seed %d step %d: %s is in two slices", seed, step, e.TargetRef.Name)
			}
			seen[e.TargetRef.UID] = e
		}
	}
	if len(seen) != len(pods) || len(have) == 0 {
		t.Fatalf("seed %d step %d: %d endpoints in %d slices for %d pods", seed, step, len(seen), len(have), len(pods))
	}
	for _, p := range pods {
		e := seen[p.UID]
		serving := len(p.Status.Conditions) > 0
		if *e.Conditions.Serving != serving || *e.Conditions.Terminating != (p.DeletionTimestamp != nil) ||
			*e.Conditions.Ready != (serving && p.DeletionTimestamp == nil) || *e.Zone != "z" {
			t.Fatalf("seed %d step %d: wrong endpoint %+v", seed, step, e)
		}
	}
}

func TestOnePodOneSlice(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "svc"}, Spec: corev1.ServiceSpec{ClusterIP: "10.32.0.1"}}
	s := snapshot{service: svc}
	for i := range 450 {
		s.pods = append(s.pods, pod(i, true, false, 80))
	}
	made := 0
	s.slices = applied(nil, planSlices(s), &made)
	if made != 5 {
		t.Fatalf("%d slices for 450 pods, want 5", made)
	}
	s.pods[17] = pod(17, false, false, 80)
	if p := planSlices(s); len(p.update) != 1 || len(p.create)+len(p.remove) != 0 {
		t.Errorf("a change of one pod writes %d slices", len(p.update)+len(p.create)+len(p.remove))
	}
}

package endpointslice

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/stage"
)

func service() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "s", UID: "s", ResourceVersion: "1", CreationTimestamp: metav1.Now()},
		Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", ClusterIPs: []string{"10.0.0.1"}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
}

func backend() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "p", ResourceVersion: "1", Labels: map[string]string{"a": "b"}},
		Spec:       corev1.PodSpec{NodeName: "node"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.0.1", PodIPs: []corev1.PodIP{{IP: "10.1.0.1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// TestASliceThatIsNeverSeen holds the service back for a while, not for ever.
func TestASliceThatIsNeverSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t)
		s.Run(New)
		s.Add(service())
		s.Add(backend())
		first := s.Count("create", "endpointslices")
		if first == 0 {
			t.Fatal("no slice was made")
		}
		time.Sleep(10 * time.Minute)
		s.Settle()
		if n := s.Count("create", "endpointslices"); n <= first {
			t.Errorf("%d slices made, nobody looked again", n)
		}
	})
}

// TestANodeSeenAfterItsPods: the zone reaches the slice all the same.
func TestANodeSeenAfterItsPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stage.New(t)
		s.Run(New)
		s.Add(service())
		s.Add(backend())
		l, err := s.Kube.DiscoveryV1().EndpointSlices("n").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(l.Items) != 1 {
			t.Fatalf("%d slices, %v", len(l.Items), err)
		}
		slice := &l.Items[0]
		slice.ResourceVersion = "1"
		s.Add(slice)
		s.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node", UID: "n", ResourceVersion: "1", Labels: map[string]string{corev1.LabelTopologyZone: "z"}}})
		slice, err = s.Kube.DiscoveryV1().EndpointSlices("n").Get(t.Context(), slice.Name, metav1.GetOptions{})
		if err != nil || len(slice.Endpoints) != 1 || slice.Endpoints[0].Zone == nil || *slice.Endpoints[0].Zone != "z" {
			t.Errorf("%+v, %v", slice.Endpoints, err)
		}
	})
}

package kubelet

import (
	"testing"

	"k8s.io/client-go/kubernetes/fake"

	"hyperkube/kit"
)

// TestPodPIDs: no limit unless there is one, as in the standard kubelet, and /configz says so.
func TestPodPIDs(t *testing.T) {
	for given, want := range map[int64]int64{0: -1, -1: -1, 4096: 4096, -2: 0} {
		o := Options{Kube: fake.NewClientset(), Informers: &kit.Informers{}, RuntimeEndpoint: "/none", NodeName: "n", PodPIDs: given}
		err := o.complete()
		if want == 0 {
			if err == nil {
				t.Errorf("%d is taken", given)
			}
			continue
		}
		if got := (&Kubelet{o: o}).configz().(map[string]any)["podPidsLimit"]; err != nil || got != want {
			t.Errorf("%d: podPidsLimit %v, want %d, %v", given, got, want, err)
		}
	}
}

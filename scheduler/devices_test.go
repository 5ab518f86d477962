package scheduler_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDevices: a pod waits for the devices it asks for, and says what it waits for.
func TestDevices(t *testing.T) {
	c := start(t)
	c.node("n1", "1")
	const tail = " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
	ask := func(claim corev1.PodResourceClaim) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			claim.Name = "gpu"
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{claim}
			p.Spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
		}
	}
	name := "gpu"
	p := c.pod("p", "100m", ask(corev1.PodResourceClaim{ResourceClaimName: &name}))
	c.refused("p", `0/1 nodes are available: resourceclaim "gpu" not found.`+tail)
	c.pod("templated", "100m", ask(corev1.PodResourceClaim{ResourceClaimTemplateName: &name}))
	c.refused("templated", `0/1 nodes are available: waiting for the resourceclaim of pod claim "gpu" to be created.`+tail)

	api := c.kube.ResourceV1().ResourceClaims("default")
	claim, err := api.Create(t.Context(), &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.ResourceClaimSpec{
		Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "r", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu", Count: 1, AllocationMode: resourcev1.DeviceAllocationModeExactCount}}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.refused("p", `0/1 nodes are available: resourceclaim "gpu" is not allocated, and this scheduler allocates none.`+tail)
	claim.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{
		Results: []resourcev1.DeviceRequestAllocationResult{{Request: "r", Driver: "example.com", Pool: "p", Device: "d"}}}}
	claim.Status.ReservedFor = []resourcev1.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: p.UID}}
	if _, err := api.UpdateStatus(t.Context(), claim, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.bound("p", "n1")
}

package kubelet

import (
	"context"
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/kubelet/cri"
)

// BenchmarkPodStart measures from the pod's appearance in the API to its Ready condition there.
func BenchmarkPodStart(b *testing.B) {
	bed := newBed(b)
	n := 0
	for b.Loop() {
		name := fmt.Sprintf("bench-%d", n)
		n++
		p := bed.pod(name, "sleep 1000", func(p *v1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(0)) })
		bed.until(name, "ready", ready)
		b.StopTimer()
		bed.delete(p)
		bed.gone(name)
		b.StartTimer()
	}
}

// BenchmarkBareRuntime is the floor of BenchmarkPodStart: the same sandbox and container by three calls.
func BenchmarkBareRuntime(b *testing.B) {
	bed := newBed(b)
	ctx, n := context.Background(), 0
	for b.Loop() {
		n++
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "bare", Namespace: "default", UID: types.UID(fmt.Sprint("bare-", n))}, Spec: v1.PodSpec{HostNetwork: true}}
		r := bed.k.renderer()
		if err := bed.k.cgroups.EnsurePod(pod, 0); err != nil {
			b.Fatal(err)
		}
		c := &v1.Container{Name: "main", Image: bed.image, Command: []string{"/bin/sleep", "1000"}}
		sb, err := bed.k.client.RunSandbox(ctx, r.Sandbox(pod, 0), "", nil)
		if err != nil {
			b.Fatal(err)
		}
		cfg, err := r.Container(pod, c, cri.ContainerInput{ImageRef: bed.image})
		if err != nil {
			b.Fatal(err)
		}
		id, err := bed.k.client.CreateContainer(ctx, sb.Id, cfg, r.Sandbox(pod, 0))
		if err != nil {
			b.Fatal(err)
		}
		if err := bed.k.client.StartContainer(ctx, id); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = bed.k.client.StopSandbox(ctx, sb.Id)
		_ = bed.k.client.RemoveSandbox(ctx, sb.Id)
		b.StartTimer()
	}
}

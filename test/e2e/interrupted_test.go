package e2e

import (
	"context"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"

	"hyperkube/cluster"
	"hyperkube/runtime/images"
	"hyperkube/test/harness"
)

// TestInterrupted: a first start that is killed at the moment its own images are said to be
// there is made good by the next one, also when that is all there is of them.
func TestInterrupted(t *testing.T) {
	h := harness.NewHost(t)
	c := harness.Bare(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	up, said := h.Command(ctx, c.Bin, "up", "--data-dir", c.DataDir, "--node-name", "node-1"), &record{}
	up.Stdout, up.Stderr = said, said
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the first start said:\n%s", said)
		}
	})
	awaitImage(ctx, t, "/run/hyperkube/"+harness.ShortID(c.DataDir)+"/containerd.sock")
	c.Kill()
	if err := up.Wait(); err == nil {
		t.Fatal("the start was over before it was killed")
	}
	t.Log(c.Up())
	c.Run(10*time.Second, c.Bin, "status", "--data-dir", c.DataDir)
}

// awaitImage returns as soon as an image of the product's is said to be imported.
func awaitImage(ctx context.Context, t *testing.T, socket string) {
	t.Helper()
	var runtime *containerd.Client
	harness.Eventually(t, time.Minute, "containerd answers", func() (err error) {
		runtime, err = containerd.New(socket, containerd.WithDefaultNamespace("k8s.io"), containerd.WithTimeout(time.Second))
		return err
	})
	defer runtime.Close()
	for {
		img, err := runtime.GetImage(ctx, cluster.HyperkubeImage)
		if err == nil && img.Labels()[images.BuildLabel] != "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

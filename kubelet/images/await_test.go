package images

import (
	"context"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
)

// node has images that are imported by somebody, and notes what is asked of it.
type node struct {
	runtimeapi.ImageServiceClient
	mu    sync.Mutex
	has   map[string]bool
	calls []string
}

func (n *node) imports(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.has[name] = true
}

func (n *node) ImageStatus(_ context.Context, r *runtimeapi.ImageStatusRequest, _ ...grpc.CallOption) (*runtimeapi.ImageStatusResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, "status "+r.Image.Image)
	if !n.has[r.Image.Image] {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	return &runtimeapi.ImageStatusResponse{Image: &runtimeapi.Image{Id: "sha256:a"}}, nil
}

func (n *node) PullImage(_ context.Context, r *runtimeapi.PullImageRequest, _ ...grpc.CallOption) (*runtimeapi.PullImageResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, "pull "+r.Image.Image)
	return nil, context.DeadlineExceeded
}

// TestAwaitsImports: nothing is pulled, nor said to be absent, while images are being imported.
func TestAwaitsImports(t *testing.T) {
	n := &node{has: map[string]bool{}}
	here := make(chan struct{})
	p := NewPuller(&cri.Client{Images: n}, 1, nil)
	p.Here = here
	done := make(chan error, 1)
	c := &v1.Container{Image: "own:v1", ImagePullPolicy: v1.PullIfNotPresent}
	tell := func(string, string, string) {}
	go func() {
		_, err := p.Ensure(t.Context(), &v1.Pod{}, c, tell)
		done <- err
	}()
	n.imports("own:v1")
	select {
	case err := <-done:
		t.Fatalf("ended before the import did: %v", err)
	default:
	}
	close(here)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := []string{"status own:v1"}; !slices.Equal(n.calls, want) {
		t.Errorf("asked %q, want %q", n.calls, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Here = make(chan struct{})
	if _, err := p.Ensure(ctx, &v1.Pod{}, c, tell); err == nil {
		t.Error("waits for ever")
	}
}

// TestLook: what is there is found without a pull.
func TestLook(t *testing.T) {
	n := &node{has: map[string]bool{"there:v1": true}}
	p := NewPuller(&cri.Client{Images: n}, 1, nil)
	var told []string
	tell := func(_, reason, _ string) { told = append(told, reason) }
	for image, want := range map[string]bool{"there:v1": true, "nowhere:v1": false, "No Name": false} {
		if _, ok := p.Look(t.Context(), &v1.Container{Image: image}, tell); ok != want {
			t.Errorf("%s: %v", image, ok)
		}
	}
	if slices.Contains(n.calls, "pull nowhere:v1") || !slices.Equal(told, []string{"Pulled"}) {
		t.Errorf("asked %q, told %q", n.calls, told)
	}
}

package images

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/cri"
)

// registry sends images called slow… for ever, and others at once.
type registry struct {
	runtimeapi.ImageServiceClient
	pulled map[string]bool
}

func (r *registry) ImageStatus(_ context.Context, q *runtimeapi.ImageStatusRequest, _ ...grpc.CallOption) (*runtimeapi.ImageStatusResponse, error) {
	if r.pulled[q.Image.Image] {
		return &runtimeapi.ImageStatusResponse{Image: &runtimeapi.Image{Id: q.Image.Image}}, nil
	}
	return &runtimeapi.ImageStatusResponse{}, nil
}

func (r *registry) PullImage(ctx context.Context, q *runtimeapi.PullImageRequest, _ ...grpc.CallOption) (*runtimeapi.PullImageResponse, error) {
	if q.Image.Image[0] == 's' {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r.pulled[q.Image.Image] = true
	return &runtimeapi.PullImageResponse{}, nil
}

// TestSlowPulls: pulls that take for ever keep others waiting for a while and not longer, and only so many are let
// go on; one that waits for another of the same image takes nobody's place.
func TestSlowPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPuller(&cri.Client{Images: &registry{pulled: map[string]bool{}}}, 2, nil)
		ctx, cancel := context.WithCancel(t.Context())
		tell := func(string, string, string) {}
		ended := make(chan error, 1000)
		pull := func(image string) error {
			_, err := p.Ensure(ctx, &v1.Pod{}, &v1.Container{Image: image}, tell)
			return err
		}
		slow := func(image string) { go func() { ended <- pull(image) }() }
		for range 10 {
			slow("slow:1")
		}
		synctest.Wait()
		began := time.Now()
		if err := pull("quick:0"); err != nil || time.Since(began) != 0 {
			t.Errorf("behind one image that ten wait for: %v after %v", err, time.Since(began))
		}
		slow("slow:2")
		synctest.Wait()
		if err := pull("quick:1"); err != nil || time.Since(began) > patience {
			t.Errorf("behind as many as there are places: %v after %v", err, time.Since(began))
		}
		for i := range 2 * bounds.SlowPulls {
			slow(fmt.Sprintf("slow:more-%d", i))
		}
		time.Sleep(2 * bounds.SlowPulls * patience)
		synctest.Wait()
		refused := 0
		for len(ended) > 0 {
			var e *Error
			if err := <-ended; !errors.As(err, &e) || e.Reason != ErrImagePull {
				t.Errorf("refused with %v", err)
			}
			refused++
		}
		if refused != bounds.SlowPulls+2 { // the two from before went on with as many less two
			t.Errorf("%d were refused", refused)
		}
		if err := pull("quick:2"); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
		if n := 2 - p.slots.free + len(p.slow.in) + len(p.pulls); n != 0 || len(p.slots.waiting)+len(p.slots.order) != 0 {
			t.Errorf("%d places are taken for ever", n)
		}
	})
}

// TestSlowPullsOfOthers: whoever pulls many images that never come keeps those of other namespaces waiting for one of
// its own, and what takes long there goes on.
func TestSlowPullsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPuller(&cri.Client{Images: &registry{pulled: map[string]bool{}}}, 2, nil)
		ctx, cancel := context.WithCancel(t.Context())
		pull := func(namespace, image string) error {
			_, err := p.Ensure(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}, &v1.Container{Image: image}, func(string, string, string) {})
			return err
		}
		for i := range 4 * bounds.SlowPulls {
			go pull("greedy", fmt.Sprintf("slow:greedy-%d", i))
		}
		time.Sleep(patience / 2)
		began := time.Now()
		if err := pull("other", "quick:0"); err != nil || time.Since(began) > patience {
			t.Errorf("behind many that wait: %v after %v", err, time.Since(began))
		}
		time.Sleep(2 * bounds.SlowPulls * patience) // more than may take long
		synctest.Wait()
		large := make(chan error, 1)
		go func() { large <- pull("other", "slow:large") }()
		time.Sleep(4 * bounds.SlowPulls * patience)
		synctest.Wait()
		select {
		case err := <-large:
			t.Errorf("one that takes long, of another namespace: %v", err)
		default:
		}
		cancel()
		synctest.Wait()
		if n := 2 - p.slots.free + len(p.slow.in) + len(p.pulls); n != 0 || len(p.slots.waiting)+len(p.slots.order) != 0 {
			t.Errorf("%d places are taken for ever", n)
		}
	})
}

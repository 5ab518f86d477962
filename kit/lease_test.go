package kit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// TestLeadTakesTurns: two candidates never work at once, the second one takes over when the first
// stops, and a lost lease parks the work until it is won again.
func TestLeadTakesTurns(t *testing.T) {
	kube := fake.NewClientset()
	var working, terms atomic.Int32
	began := make(chan string, 10)
	lease := func(id string) Lease {
		return Lease{Kube: kube, Name: "role", Identity: id, Log: slog.New(slog.DiscardHandler),
			Duration: 600 * time.Millisecond, Renew: 400 * time.Millisecond, Retry: 50 * time.Millisecond}
	}
	work := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			if working.Add(1) > 1 {
				t.Error("two candidates work at once")
			}
			terms.Add(1)
			began <- id
			<-ctx.Done()
			working.Add(-1)
			return nil
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	stops := map[string]context.CancelFunc{}
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b"} {
		one, stop := context.WithCancel(ctx)
		stops[id] = stop
		wg.Go(func() {
			if err := Lead(one, lease(id), work(id)); err != nil {
				t.Error(err)
			}
		})
	}
	next := func() string {
		select {
		case id := <-began:
			return id
		case <-time.After(10 * time.Second):
			t.Fatal("nobody leads")
			return ""
		}
	}
	first := next()
	// The lease is taken away: the work is parked, and begins again with whoever wins.
	l, err := kube.CoordinationV1().Leases("kube-system").Get(ctx, "role", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	thief, short, now := "thief", int32(1), metav1.NowMicro()
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &thief, &short, &now
	if _, err := kube.CoordinationV1().Leases("kube-system").Update(ctx, l, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	second := next()
	stops[second]()
	if third := next(); third == second {
		t.Errorf("%s leads though it was stopped", third)
	}
	_ = first
	cancel()
	wg.Wait()
	if working.Load() != 0 || terms.Load() != 3 {
		t.Errorf("%d still work, %d terms", working.Load(), terms.Load())
	}
}

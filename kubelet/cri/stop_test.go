package cri

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// patient notes what it was asked and how long the asker waits.
type patient struct {
	runtimeapi.RuntimeServiceClient
	seconds int64
	waits   time.Duration
}

func (p *patient) StopContainer(ctx context.Context, r *runtimeapi.StopContainerRequest, _ ...grpc.CallOption) (*runtimeapi.StopContainerResponse, error) {
	end, _ := ctx.Deadline()
	p.seconds, p.waits = r.Timeout, time.Until(end)
	return &runtimeapi.StopContainerResponse{}, ctx.Err()
}

// TestStopContainer: however long a container may take, the runtime gets that long and is waited for longer.
func TestStopContainer(t *testing.T) {
	for grace, want := range map[time.Duration]int64{0: 0, 1: 1, time.Second: 1, 1500 * time.Millisecond: 2, time.Hour: 3600,
		9223372036 * time.Second: 9223372036, math.MaxInt64: 9223372036} {
		p := &patient{}
		if err := (&Client{Runtime: p}).StopContainer(t.Context(), "c", grace); err != nil || p.seconds != want || p.waits < min(grace, 100*365*24*time.Hour) {
			t.Errorf("%v: %v, told %d s, waits %v", grace, err, p.seconds, p.waits)
		}
	}
}

package cri

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestOperation(t *testing.T) {
	for method, want := range map[string]string{
		"/runtime.v1.RuntimeService/RunPodSandbox":            "run_podsandbox",
		"/runtime.v1.RuntimeService/PodSandboxStatus":         "podsandbox_status",
		"/runtime.v1.RuntimeService/CreateContainer":          "create_container",
		"/runtime.v1.RuntimeService/UpdateContainerResources": "update_container",
		"/runtime.v1.ImageService/ImageStatus":                "image_status",
		"/runtime.v1.RuntimeService/Status":                   "status",
	} {
		if got := operation(method); got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
	}
}

// TestLate: who gave up on the runtime says on what and after how long; what the runtime says itself is left as it is.
func TestLate(t *testing.T) {
	slow := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := observed(nil)(ctx, "/runtime.v1.RuntimeService/CreateContainer", nil, nil, nil, slow)
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "context deadline exceeded: the container runtime has not answered CreateContainer within ") {
		t.Errorf("%v", err)
	}
	said := status.Error(codes.DeadlineExceeded, "command timed out")
	quick := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return said }
	ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, c := range []context.Context{ctx, t.Context()} {
		if err := observed(nil)(c, "/runtime.v1.RuntimeService/ExecSync", nil, nil, nil, quick); err != said {
			t.Errorf("%v", err)
		}
	}
}

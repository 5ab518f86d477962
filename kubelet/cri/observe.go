package cri

import (
	"context"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// observed reports each unary call.
func observed(seen Observer) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		began := time.Now()
		err := late(ctx, method, began, invoke(ctx, method, req, reply, cc, opts...))
		if seen != nil {
			seen(operation(method), time.Since(began), err != nil)
		}
		return err
	}
}

// late says of a call that took longer than anyone waits what it was and how long that is: a runtime that is merely
// slow answers nothing.
func late(ctx context.Context, method string, began time.Time, err error) error {
	until, limited := ctx.Deadline()
	if !limited || status.Code(err) != codes.DeadlineExceeded || time.Now().Before(until) {
		return err // also where the runtime itself says so
	}
	return status.Errorf(codes.DeadlineExceeded, "context deadline exceeded: the container runtime has not answered %s within %s; the node's disk or processors may be overloaded",
		method[strings.LastIndexByte(method, '/')+1:], until.Sub(began).Round(time.Second))
}

// operation is the name that the standard kubelet's metrics have for a call.
func operation(method string) string {
	name := method[strings.LastIndexByte(method, '/')+1:]
	name = strings.Replace(name, "PodSandbox", "Podsandbox", 1)
	if name == "UpdateContainerResources" {
		return "update_container"
	}
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

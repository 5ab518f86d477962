package cri

import (
	"context"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"
)

// observed reports each unary call.
func observed(seen Observer) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		began := time.Now()
		err := invoke(ctx, method, req, reply, cc, opts...)
		if seen != nil {
			seen(operation(method), time.Since(began), err != nil)
		}
		return err
	}
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

// Command nettool is what the cluster tests run inside pods: small servers and
// clients whose answers tell where a packet came from and who answered it.
//
//	nettool serve [-http :8080] [-udp :8081] [-tcp :8082] [-grpc :8083] [-fail-after 0]
//	nettool dial http://host/path | udp://host:port | tcp://host:port
//	nettool pause
//
// HTTP paths: / and /hostname (the pod's name), /clientip, /healthz (503 once
// -fail-after has passed or /fail was called), /readyz (503 until /ready was
// called if -unready), /echo?msg=, /env, /header, /exit?code=, /shell is absent
// on purpose. TCP and UDP servers answer "hostname" with the name and echo the rest.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nettool:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"serve"}
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "dial":
		return dial(ctx, args[1:])
	case "pause":
		<-ctx.Done()
		return nil
	}
	return fmt.Errorf("unknown word %q: want serve, dial or pause", args[0])
}

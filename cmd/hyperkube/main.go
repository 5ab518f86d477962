// Command hyperkube is every daemon and tool of a Kubernetes cluster in one
// binary. `hyperkube <role>` runs a role; so does a link to it named after the
// standard daemon (kube-apiserver, kubelet, kubectl …).
//
// This package parses flags into typed options, calls Run(ctx) and is the only
// place that exits the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"hyperkube/internal/resident"
	"hyperkube/internal/supervise"
)

// exitCode lets a command end with a code of its own and no further words.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := root(os.Args).ExecuteContext(ctx)
	stop()
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintf(os.Stderr, "hyperkube: %v\n", err)
		os.Exit(1)
	}
}

// commands is the one list of what the binary can be, in the order help shows.
var commands = [...]func() *cobra.Command{
	upCommand,
	downCommand,
	statusCommand,
	resetCommand,
	kubectlCommand,
	etcdCommand,
	apiserverCommand,
	controllerManagerCommand,
	schedulerCommand,
	containerdCommand,
	kubeletCommand,
	networkCommand,
	proxyCommand,
	dnsCommand,
	imageCommand,
	versionCommand,
}

// standardNames are the daemons that a link may replace.
var standardNames = map[string]string{
	"kube-apiserver": "apiserver", "kube-controller-manager": "controller-manager", "kube-scheduler": "scheduler",
	"kubelet": "kubelet", "kube-proxy": "proxy", "etcd": "etcd", "coredns": "dns", "containerd": "containerd", "kubectl": "kubectl",
}

// root builds the command tree for a command line; argv[0] may name the role.
func root(args []string) *cobra.Command {
	c := &cobra.Command{
		Use:           "hyperkube",
		Short:         "Kubernetes as one binary",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	for _, f := range commands {
		c.AddCommand(f())
	}
	rest := args[1:]
	if role, ok := standardNames[strings.TrimSuffix(filepath.Base(args[0]), ".exe")]; ok {
		rest = append([]string{role}, rest...)
	}
	// CoreDNS manifests say -conf with one dash, which pflag would read as -c onf.
	if i := slices.Index(rest, "-conf"); i > 0 && rest[0] == "dns" {
		rest = slices.Clone(rest)
		rest[i] = "--conf"
	}
	c.SetArgs(rest)
	return c
}

// small runs a role in a process of its own that gives back what its start took.
func small(ctx context.Context, run func(context.Context) error) error {
	return beside(ctx, func(ctx context.Context) { resident.Keep(ctx, resident.Options{}) }, run)
}

// beside runs a companion for as long as run takes.
func beside(ctx context.Context, companion func(context.Context), run func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() {
		// The role goes on without it.
		if err := supervise.Contain("companion", func() error { companion(ctx); return nil }); err != nil {
			slog.Error("part of the process ended", "err", err)
		}
	})
	defer kept.Wait()
	defer cancel()
	return run(ctx)
}

// Package lifecycle runs the hooks of containers: postStart after the start, preStop before the stop signal.
package lifecycle

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/probe"
)

// Runner runs hooks.
type Runner struct{ Exec probe.Executor }

// Run runs one hook to its end or the end of ctx.
func (r Runner) Run(ctx context.Context, h *v1.LifecycleHandler, t probe.Target) error {
	switch {
	case h.Exec != nil:
		return r.exec(ctx, h.Exec.Command, t)
	case h.HTTPGet != nil:
		return get(ctx, h.HTTPGet, t)
	case h.Sleep != nil:
		timer := time.NewTimer(bounds.Seconds(h.Sleep.Seconds))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("invalid handler: it names no action")
}

func (r Runner) exec(ctx context.Context, cmd []string, t probe.Target) error {
	timeout := time.Duration(0)
	if end, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(end), time.Second)
	}
	resp, err := r.Exec.ExecSync(ctx, t.ID, cmd, timeout)
	if err != nil {
		return fmt.Errorf("exec hook %v: %w", cmd, err)
	}
	if resp.ExitCode != 0 {
		return fmt.Errorf("command %.1000q exited with %d: %s", cmd, resp.ExitCode, probe.Output(resp))
	}
	return nil
}

func get(ctx context.Context, h *v1.HTTPGetAction, t probe.Target) error {
	req, err := probe.HTTPRequest(ctx, h, t.Container, t.PodIP, "kube-lifecycle/1.37")
	if err != nil {
		return err
	}
	client := probe.HTTPClient(0)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

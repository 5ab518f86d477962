package steps

import (
	"context"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/images"
	"hyperkube/kubelet/userns"
)

// sandbox makes the pod's sandbox, unless one is ready. It is stopped by the pod worker, before other steps are undone.
func sandbox(d *Deps) Step {
	return Step{
		Name:  "sandbox",
		After: []string{"claims", "directories", "cgroup"},
		SetUp: func(ctx context.Context, p *Pod) error {
			if p.Sandbox != nil {
				return nil
			}
			// What a dead sandbox still holds, its address above all, is given back first.
			for _, id := range p.Dead {
				if err := d.Client.StopSandbox(ctx, id); err != nil {
					return err
				}
			}
			handler := ""
			if rc := p.API.Spec.RuntimeClassName; rc != nil && *rc != "" {
				var err error
				if handler, err = d.Handlers(ctx, *rc); err != nil {
					return err
				}
			}
			if f := d.features(handler).UserNamespaces; userns.Wanted(p.API) && (f == nil || !*f) {
				return fmt.Errorf("RuntimeClass handler %q does not support user namespaces", handler)
			}
			for _, w := range d.Renderer.DNS.Warnings(p.API) {
				p.Tell(v1.EventTypeWarning, w.Reason, w.Message)
			}
			// The sandbox's own image may be one of them.
			if err := images.Await(ctx, d.ImagesHere); err != nil {
				return err
			}
			sb, err := d.Client.RunSandbox(ctx, d.Renderer.Sandbox(p.API, p.Attempt), handler, p.Told)
			if err != nil {
				err, p.Unfinished = unfinished(err, p.Unfinished)
				return err
			}
			p.Sandbox, p.Unfinished = sb, ""
			// A hosts file of an earlier sandbox names addresses that are gone.
			err = os.Remove(HostsFile(d.Volumes, p.API))
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			return nil
		},
	}
}

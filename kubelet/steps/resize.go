package steps

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
)

// Resizer gives running containers the size that their pod's spec asks for.
type Resizer struct{ d *Deps }

// NewResizer returns a resizer.
func NewResizer(d *Deps) *Resizer { return &Resizer{d} }

// Resize changes the pod's group and the named containers (by runtime id). The group's limits are lifted meanwhile:
// a container may get neither more than its pod has, nor its pod less than a container has.
func (r *Resizer) Resize(ctx context.Context, pod *v1.Pod, containers map[string]*v1.Container) error {
	if r.d.Cgroups != nil {
		if err := r.d.Cgroups.LoosenPod(pod); err != nil {
			return fmt.Errorf("lifting the pod's limits: %w", err)
		}
	}
	var errs []error
	for id, c := range containers {
		if err := r.d.Client.Resize(ctx, id, r.d.Renderer.Resize(pod, c)); err != nil {
			errs = append(errs, fmt.Errorf("resizing container %s: %w", c.Name, err))
		}
	}
	if r.d.Cgroups != nil {
		if err := r.d.Cgroups.EnsurePod(pod, r.d.PIDsLimit); err != nil {
			errs = append(errs, fmt.Errorf("setting the pod's limits: %w", err))
		}
	}
	return errors.Join(errs...)
}

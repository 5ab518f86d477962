package steps

import "context"

// volumes makes the pod's volumes ready. Tearing down removes the pod's whole directory.
func volumes(d *Deps) Step {
	return Step{
		Name:  "volumes",
		After: []string{"directories"},
		SetUp: func(ctx context.Context, p *Pod) error {
			got, err := d.Volumes.SetUp(ctx, p.API)
			p.Volumes = got
			return err
		},
		TearDown: func(_ context.Context, p *Pod) error { return d.Volumes.TearDown(string(p.API.UID)) },
	}
}

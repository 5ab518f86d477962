package steps

import "context"

// cgroups makes the pod's control group; the runtime puts the containers' below it.
func cgroups(d *Deps) Step {
	return Step{
		Name: "cgroup",
		SetUp: func(_ context.Context, p *Pod) error {
			if d.Cgroups == nil {
				return nil
			}
			return d.Cgroups.EnsurePod(p.API, d.PIDsLimit)
		},
		TearDown: func(_ context.Context, p *Pod) error {
			if d.Cgroups == nil {
				return nil
			}
			return d.Cgroups.RemovePod(string(p.API.UID))
		},
	}
}

package steps

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/userns"
)

// directories makes the pod's directory and its logs' directory, and gives the pod its users if it wants its own.
func directories(d *Deps) Step {
	return Step{
		Name: "directories",
		SetUp: func(_ context.Context, p *Pod) (err error) {
			defer func() {
				if err != nil {
					err = &Told{"Failed", fmt.Errorf("error making pod data directories: %w", err)}
				}
			}()
			dir := d.Volumes.PodDir(string(p.API.UID))
			for _, sub := range []string{"volumes", "containers", "plugins"} {
				if err := os.MkdirAll(filepath.Join(dir, sub), 0o750); err != nil {
					return err
				}
			}
			if userns.Wanted(p.API) {
				if err := d.Users.Ensure(string(p.API.UID)); err != nil {
					return err
				}
			}
			return os.MkdirAll(cri.PodLogDir(d.Renderer.LogRoot, p.API), 0o755)
		},
	}
}

package env

import (
	"context"

	"hyperkube/internal/supervise"
)

// Idle is the runner of a controller that its settings leave nothing to do.
type Idle struct{}

// Run waits for ctx.
func (Idle) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Group runs several loops as one controller.
type Group []Runner

// Run runs all of them and returns when the last has ended, with the first error. When one ends, the
// others are stopped: what is left of a controller is none.
func (g Group) Run(ctx context.Context) error {
	all := supervise.NewParts(ctx)
	for _, r := range g {
		all.Lasts("controller", r.Run)
	}
	return all.Wait()
}

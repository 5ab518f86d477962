package runtime

import (
	"errors"
	"fmt"
	"os"
)

// asideSuffix is added to the name of a root that was damaged. One is kept.
const asideSuffix = ".damaged"

// renew sets a root aside that cannot be worked with, and ends the shims of its containers,
// which nobody knows any more; containerd then begins with none. Nothing is lost that
// cannot be had again, but for images that came from no registry. It runs while no containerd does.
func (r *Runtime) renew() error {
	root := r.o.Config.Root
	err := checkRoot(root)
	var d *damage
	if !errors.As(err, &d) {
		if err != nil {
			r.o.Logger.Warn("looking whether containerd's data is whole", "err", err)
		}
		return nil
	}
	aside := root + asideSuffix
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("containerd's data is damaged (%w); removing %s: %w", d, aside, err)
	}
	if err := os.Rename(root, aside); err != nil {
		return fmt.Errorf("containerd's data is damaged (%w): move %s away: %w", d, root, err)
	}
	r.o.Logger.Error("containerd's data was damaged and is set aside", "cause", d, "aside", aside)
	if r.o.Tell != nil {
		r.o.Tell(fmt.Sprintf("containerd's data was damaged (%v) and is set aside in %s: pods start anew, images are pulled again; import again those that come from no registry, then remove it", d, aside))
	}
	running, err := shims(r.o.Config.Socket)
	errs := []error{err}
	for _, sh := range running {
		errs = append(errs, sh.end())
	}
	if err := errors.Join(errs...); err != nil {
		r.o.Logger.Warn("ending containers that nobody knows any more", "err", err)
	}
	return nil
}

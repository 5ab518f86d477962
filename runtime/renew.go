package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hyperkube/internal/tree"
)

// asideSuffix is added to the name of a root that was damaged, and from the second on a
// number.
const asideSuffix = ".damaged"

// asidesKept is how many there may be. The first was there before the trouble began, and has
// what nobody may have imported again; the last has what was written last. What makes room is
// the oldest in between.
const asidesKept = 3

// asides are the roots that were set aside, by number.
func asides(root string) ([]int, error) {
	found, err := os.ReadDir(filepath.Dir(root))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for what was set aside: %w", err)
	}
	var out []int
	for _, e := range found {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(root)+asideSuffix)
		if n, err := strconv.Atoi(strings.TrimPrefix(rest, ".")); ok && rest == "" {
			out = append(out, 1)
		} else if ok && err == nil && n > 1 && rest == "."+strconv.Itoa(n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// aside is the name of one.
func aside(root string, n int) string {
	if n == 1 {
		return root + asideSuffix
	}
	return root + asideSuffix + "." + strconv.Itoa(n)
}

// nextAside is the number of the next one, and which ones make room for it.
func nextAside(have []int) (next int, remove []int) {
	if len(have) == 0 {
		return 1, nil
	}
	next = have[len(have)-1] + 1
	if more := len(have) + 1 - asidesKept; more > 0 {
		remove = have[1:min(1+more, len(have))]
	}
	return next, remove
}

// tellAsides says what lies there still.
func (r *Runtime) tellAsides() {
	have, err := asides(r.o.Config.Root)
	if err != nil {
		r.o.Logger.Warn("looking for what was set aside", "err", err)
	}
	if len(have) == 0 {
		return
	}
	var paths []string
	for _, n := range have {
		paths = append(paths, aside(r.o.Config.Root, n))
	}
	text := fmt.Sprintf("data of containerd that was damaged lies in %s: remove it when no image in it is missed", strings.Join(paths, ", "))
	r.o.Logger.Warn(text)
	if r.o.Tell != nil {
		r.o.Tell(text)
	}
}

// renew sets a root aside that cannot be worked with, and ends the shims of its containers,
// which nobody knows any more; containerd then begins with none. Nothing is lost that
// cannot be had again, but for images that came from no registry. It runs while no containerd does.
func (r *Runtime) renew() error {
	root := r.o.Config.Root
	if err := dropName(root); err != nil {
		r.o.Logger.Warn("looking at containerd's name of itself", "err", err)
	}
	err := checkRoot(root)
	var d *damage
	if !errors.As(err, &d) {
		if err != nil {
			r.o.Logger.Warn("looking whether containerd's data is whole", "err", err)
		}
		return nil
	}
	have, err := asides(root)
	if err != nil {
		return fmt.Errorf("containerd's data is damaged (%w): %w", d, err)
	}
	next, remove := nextAside(have)
	for _, n := range remove {
		r.o.Logger.Warn("removing damaged data of containerd that was set aside, to keep no more of it", "removed", aside(root, n), "kept", asidesKept)
		if err := tree.Remove(aside(root, n)); err != nil {
			return fmt.Errorf("containerd's data is damaged (%w); removing %s: %w", d, aside(root, n), err)
		}
	}
	to := aside(root, next)
	if err := os.Rename(root, to); err != nil {
		return fmt.Errorf("containerd's data is damaged (%w): move %s away: %w", d, root, err)
	}
	r.o.Logger.Error("containerd's data was damaged and is set aside", "cause", d, "aside", to)
	if r.o.Tell != nil {
		r.o.Tell(fmt.Sprintf("containerd's data was damaged (%v) and is set aside in %s: pods start anew, images are pulled again; import again those that come from no registry, then remove it", d, to))
	}
	running, err := shims(r.o.Config.Socket, r.o.PodCgroups)
	errs := []error{err}
	for _, sh := range running {
		errs = append(errs, sh.end())
	}
	if err := errors.Join(errs...); err != nil {
		r.o.Logger.Warn("ending containers that nobody knows any more", "err", err)
	}
	return nil
}

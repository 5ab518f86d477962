package cluster

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// limits are those of the shell that may be too low for a cluster and its pods, which all
// inherit them.
var limits = [...]struct {
	resource int
	flag     string // of ulimit
	what     string
	least    uint64
}{
	{unix.RLIMIT_NOFILE, "-n", "open files", 4096},
	{unix.RLIMIT_NPROC, "-u", "processes", 4096},
	{unix.RLIMIT_FSIZE, "-f", "bytes of a file", 16 << 30},
}

// checkLimits raises limits of this process that are too low, which those that it starts get
// too, and refuses where it may not.
func checkLimits() error {
	var errs []error
	for _, l := range limits {
		var have unix.Rlimit
		if err := unix.Getrlimit(l.resource, &have); err != nil {
			return fmt.Errorf("reading the limit of %s: %w", l.what, err)
		}
		if have.Cur >= l.least {
			continue
		}
		want := unix.Rlimit{Cur: max(l.least, have.Max), Max: max(l.least, have.Max)}
		if err := unix.Setrlimit(l.resource, &want); err != nil {
			errs = append(errs, fmt.Errorf("this shell allows %d %s, %d are needed, and raising it fails (%w): say `ulimit %s unlimited`, or start from where more are allowed", have.Cur, l.what, l.least, err, l.flag))
		}
	}
	return errors.Join(errs...)
}

package runtime

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// eachProcess shows the command line of every process that is in the pid namespace of this
// one, until look fails. Those of pods are not: they may call themselves what they like, at
// any length, and many of them would keep whoever ends them, one after the other, for hours.
func eachProcess(look func(pid int, args []string) error) error {
	const space = "/ns/pid"
	ours, err := os.Readlink("/proc/self" + space)
	if err != nil {
		return fmt.Errorf("reading processes: %w", err)
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("reading processes: %w", err)
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if its, err := os.Readlink("/proc/" + p.Name() + space); err != nil || its != ours {
			continue
		}
		b, err := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		if err != nil {
			continue // gone
		}
		if err := look(pid, strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")); err != nil {
			return err
		}
	}
	return nil
}

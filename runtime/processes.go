package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one with its command line.
type Process struct {
	PID  int
	Args []string
}

// HostProcesses are the processes whose command line match accepts and that are in no pod:
// in no container's cgroup below pods. A tenant's process may be called as it likes, and many
// could keep who waits for their end waiting. Without pods all that match accepts are meant.
func HostProcesses(pods string, match func(args []string) bool) ([]Process, error) {
	return hostProcesses("/proc", pods, match)
}

func hostProcesses(proc, pods string, match func(args []string) bool) ([]Process, error) {
	procs, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("reading processes: %w", err)
	}
	var out []Process
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(proc, p.Name())
		b, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(b) == 0 { // gone, dead or the kernel's
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		if match(args) && groupOf(dir, pods) == "" {
			out = append(out, Process{pid, args})
		}
	}
	return out, nil
}

// SameFolder says whether a path means the same folder to another process; one that is gone
// does when both see the same mounts.
func SameFolder(pid int, dir string) bool {
	ours, err := os.Stat(dir)
	theirs, err2 := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "root", dir))
	if err == nil && err2 == nil {
		return os.SameFile(ours, theirs)
	}
	return SameMounts(pid)
}

// SameMounts tells whether a process means the same by a path.
func SameMounts(pid int) bool {
	mine, err := os.Readlink("/proc/self/ns/mnt")
	its, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	return err == nil && err2 == nil && mine == its
}

// EndProcess sends SIGTERM and, after grace, SIGKILL to a process that need not
// be a child, and returns when it is gone. One that is dead is gone, whether or not its parent
// ever asks: the first process of a container often does not.
func EndProcess(ctx context.Context, pid int, grace time.Duration) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return nil // gone already
	}
	kill := time.NewTimer(grace)
	defer kill.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.Signal(syscall.Signal(0)) == nil && !dead(pid) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to end: %w", pid, ctx.Err())
		case <-kill.C:
			p.Signal(syscall.SIGKILL)
		case <-tick.C:
		}
	}
	return nil
}

// dead reports whether a process has ended and is only waited for.
func dead(pid int) bool {
	w, err := statWords(pid)
	return err == nil && len(w) > 0 && (w[0] == "Z" || w[0] == "X")
}

// statWords is what the kernel says of a process, from its state on.
func statWords(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name in parentheses may hold anything.
	_, rest, _ := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), " ")
	return strings.Fields(rest), nil
}

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hyperkube/internal/regular"
	"hyperkube/runtime"
	"hyperkube/runtime/carried"
)

// Who runs a cluster is noted in files, which are quick to read and can be lost. The kernel
// knows it as long as it is true: who has a file open that the lock is held by. The whole of
// /proc is only looked at when the files say nothing.
//
//	lock (flock) ─ open by ─▶ keeper, cluster's process, for a start also `up`
//	lock, byte readyByte ─▶ locked by the cluster's process from when it is ready until it ends

// readyByte lies behind what is ever written into the lock.
const readyByte = 1 << 20

// holds reports whether a process has a file open that holds the lock, and not only looks at
// it. Of a lock that was removed, want is nil.
func holds(pid int, lock string, want os.FileInfo) bool {
	if want == nil && !runtime.SameMounts(pid) { // not a pod's, which may have any number of files
		return false
	}
	fds := fmt.Sprintf("/proc/%d/fd/", pid)
	open, err := os.ReadDir(fds)
	if err != nil {
		return false
	}
	for _, fd := range open {
		if want == nil {
			if to, err := os.Readlink(fds + fd.Name()); err != nil || to != lock+" (deleted)" {
				continue
			}
		} else if have, err := os.Stat(fds + fd.Name()); err != nil || !os.SameFile(have, want) {
			continue
		}
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd.Name()))
		if err == nil && slices.ContainsFunc(strings.Split(string(info), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "lock:") && strings.Contains(line, "FLOCK") && strings.Contains(line, "WRITE")
		}) {
			return true
		}
	}
	return false
}

// owner is one of the processes that hold the lock.
type owner struct {
	pid  int
	args []string
}

// owners are the processes that hold the lock; when its file was removed, others than this one. Those
// that are called as ours are asked first, and alone when the file is gone, as it is before
// each first start: to look at all that a host has open takes minutes where much is, and what
// a tenant's pods have open never matters.
func owners(lock string) []owner {
	want, err := os.Stat(lock)
	if err != nil {
		want = nil
	}
	pods := PathsOf(filepath.Dir(lock)).PodCgroups()
	if out := holding(pods, lock, want, func(args []string) bool { return (owner{args: args}).ours() }); want == nil || len(out) > 0 {
		return out
	}
	return holding(pods, lock, want, func(args []string) bool { return !(owner{args: args}).ours() })
}

// holding are those among the processes of the host that match accepts.
func holding(pods, lock string, want os.FileInfo, match func(args []string) bool) (out []owner) {
	procs, err := runtime.HostProcesses(pods, match)
	if err != nil {
		return nil
	}
	for _, p := range procs {
		if (want != nil || p.PID != os.Getpid()) && holds(p.PID, lock, want) {
			out = append(out, owner{p.PID, p.Args})
		}
	}
	return out
}

// ours tells what may be a keeper, a cluster's process or one that starts or removes a cluster.
func (o owner) ours() bool {
	return o.keeps() || o.runs() || slices.Contains(o.args, "up") || slices.Contains(o.args, "reset")
}

// keeps tells a keeper from what it keeps.
func (o owner) keeps() bool { return filepath.Base(o.args[0]) == carried.Keep }

// runs tells the cluster's process from one that starts it.
func (o owner) runs() bool { return !o.keeps() && slices.Contains(o.args, "--foreground") }

// toEnd is whom to end when the cluster is to stop: whoever would start the others again.
func toEnd(all []owner) int {
	for _, is := range []func(owner) bool{owner.keeps, owner.runs, func(owner) bool { return true }} {
		if i := slices.IndexFunc(all, is); i >= 0 {
			return all[i].pid
		}
	}
	return 0
}

// running is the cluster's process, 0 when there is none, or none yet.
func running(all []owner) int {
	if i := slices.IndexFunc(all, owner.runs); i >= 0 {
		return all[i].pid
	}
	return 0
}

// tellReady says that the cluster is ready until the file is closed or the process ends.
func tellReady(lock string) (*os.File, error) {
	f, err := regular.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: readyByte, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isReady reports whether a process says so.
func isReady(lock string) bool {
	f, err := regular.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: readyByte, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// keeping is the keeper of the cluster's process, 0 when there is none.
func keeping(p Paths) int {
	if pid := named(p.Lock, p.Lock); pid != 0 {
		return pid
	}
	all := owners(p.Lock)
	if i := slices.IndexFunc(all, owner.keeps); i >= 0 {
		return all[i].pid
	}
	return 0
}

func kept(p Paths) bool { return keeping(p) != 0 }

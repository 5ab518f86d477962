package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
)

// containerd watches the folder of CNI configurations from its start on, and does not start
// without an inotify instance. The instances of root are shared by the host and its pods: a
// pod that holds all would keep a containerd that ended from coming back, and with it itself
// from being ended by anybody.
//
//	none left ─▶ who holds them? ─┬▶ pods ─▶ the containers of the one that holds most are ended
//	                              └▶ the host's ─▶ named, and left alone
var errNoInstance = errors.New("no inotify instance is left on this host")

const (
	freeTimeout = 5 * time.Second // for what is ended to be gone
	freePoll    = 20 * time.Millisecond
	// instanceTries is how often a first start is tried when instances lack.
	instanceTries = 5
)

// instanceLeft reports whether an instance is to be had.
func instanceLeft() bool {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		unix.Close(fd)
	}
	return !errors.Is(err, unix.EMFILE)
}

// needInstance sees to it that containerd finds an instance, if that is a pod's to give. At
// most one pod is ended.
func (r *Runtime) needInstance(ctx context.Context) error {
	if instanceLeft() {
		return nil
	}
	holders, err := holdersIn("/proc", r.o.PodCgroups, bounds.PodDescriptors, sameFile)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoInstance, err)
	}
	who := describe(holders, r.podName)
	lacks := fmt.Errorf("%w, and containerd needs one (%s): raise the limit with `sysctl -w fs.inotify.max_user_instances=8192`, or end what holds them", errNoInstance, who)
	pod := planEnd(instanceLimit(), holders)
	if pod == "" {
		return lacks
	}
	groups := map[string]bool{}
	for _, h := range holders {
		if h.group != "" && h.pod() == pod {
			groups[h.group] = true
		}
	}
	r.o.Logger.Error("no inotify instance is left, and containerd cannot start without: ending the containers of the pod that holds most", "pod", r.podName(pod), "uid", pod, "held", who)
	if r.o.Tell != nil {
		r.o.Tell(fmt.Sprintf("no inotify instance was left for containerd (%s): the containers of pod %s that hold them were ended, and start anew", who, r.podName(pod)))
	}
	ctx, cancel := context.WithTimeout(ctx, freeTimeout)
	defer cancel()
	tick := time.NewTicker(freePoll)
	defer tick.Stop()
	for {
		left, err := endGroups(groups, r.o.PodCgroups)
		if err != nil {
			return fmt.Errorf("%w: %w", lacks, err)
		}
		if left == 0 && instanceLeft() {
			return nil
		}
		select {
		case <-ctx.Done():
			return lacks
		case <-tick.C:
		}
	}
}

// instanceLimit is how many root may hold.
func instanceLimit() int {
	limit := 0
	for _, path := range []string{"/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && (limit == 0 || n < limit) {
			limit = n
		}
	}
	return limit
}

// endGroups kills what is in cgroups of pods' containers, all of it: what a process of theirs
// held its parent could take again. It returns how many there were.
func endGroups(groups map[string]bool, pods string) (n int, err error) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("reading processes: %w", err)
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || !groups[groupOf("/proc/"+p.Name(), pods)] {
			continue
		}
		n++
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // gone
		}
		if groups[groupOf("/proc/"+p.Name(), pods)] { // not another process with its number
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return n, fmt.Errorf("ending process %d: %w", pid, err)
		}
	}
	return n, nil
}

// podName is a pod's namespace and name, by the folder of its logs.
func (r *Runtime) podName(uid string) string {
	found, err := filepath.Glob(filepath.Join(r.o.PodLogs, "*_"+uid))
	if err != nil || len(found) == 0 || r.o.PodLogs == "" {
		return uid
	}
	parts := strings.Split(filepath.Base(found[0]), "_")
	if len(parts) < 3 {
		return uid
	}
	return parts[0] + "/" + parts[1]
}

// Package cgroup keeps the kubelet's tree of control groups, on cgroup v1 (every controller its own hierarchy)
// and v2 (one hierarchy), by plain file operations.
//
//	<root>/kubepods/                     what pods may use of the node
//	<root>/kubepods/pod<uid>/            guaranteed
//	<root>/kubepods/burstable/pod<uid>/
//	<root>/kubepods/besteffort/pod<uid>/
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	helpers "k8s.io/component-helpers/resource"

	"hyperkube/kubelet/cri"
)

// Limits are what one cgroup is set to; zero leaves a value alone.
type Limits struct {
	CPUShares int64
	CPUQuota  int64 // microseconds of cri.CPUPeriod
	Memory    int64
	PIDs      int64
}

// Tree is the tree of one kubelet.
type Tree struct {
	root    string   // inside the hierarchies, "/" or "/name"
	unified bool     // v2
	mounts  []string // hierarchies in which directories are made
	all     []string // hierarchies in which they may appear (the runtime makes some too)
}

// New finds the host's hierarchies below fsRoot, normally /sys/fs/cgroup.
func New(fsRoot, root string) (*Tree, error) {
	if fsRoot == "" {
		fsRoot = "/sys/fs/cgroup"
	}
	t := &Tree{root: path.Join("/", root)}
	var st unix.Statfs_t
	if err := unix.Statfs(fsRoot, &st); err != nil {
		return nil, fmt.Errorf("cgroups at %s: %w", fsRoot, err)
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		t.unified, t.mounts, t.all = true, []string{fsRoot}, []string{fsRoot}
		return t, nil
	}
	entries, err := os.ReadDir(fsRoot)
	if err != nil {
		return nil, fmt.Errorf("cgroups at %s: %w", fsRoot, err)
	}
	for _, e := range entries {
		if !e.IsDir() { // "cpu,cpuacct" style aliases are links
			continue
		}
		dir := filepath.Join(fsRoot, e.Name())
		t.all = append(t.all, dir)
		for part := range strings.SplitSeq(e.Name(), ",") {
			switch part {
			case "cpu", "memory", "pids":
				t.mounts = append(t.mounts, dir)
			}
		}
	}
	if len(t.mounts) == 0 {
		return nil, fmt.Errorf("no cgroup controllers are mounted below %s", fsRoot)
	}
	return t, nil
}

// Unified tells whether the host has cgroup v2 only.
func (t *Tree) Unified() bool { return t.unified }

func (t *Tree) pods() string { return path.Join(t.root, "kubepods") }

// PodParent is the path of a pod's cgroup, as the runtime is told.
func (t *Tree) PodParent(pod *v1.Pod) string {
	class := ""
	switch cri.QoS(pod) {
	case v1.PodQOSBurstable:
		class = "burstable"
	case v1.PodQOSBestEffort:
		class = "besteffort"
	}
	return path.Join(t.pods(), class, "pod"+string(pod.UID))
}

// EnsureRoot makes the top of the tree, with what is allocatable as its limits.
func (t *Tree) EnsureRoot(l Limits) error {
	if err := t.ensure(t.pods(), l); err != nil {
		return err
	}
	if err := t.ensure(path.Join(t.pods(), "burstable"), Limits{}); err != nil {
		return err
	}
	return t.ensure(path.Join(t.pods(), "besteffort"), Limits{CPUShares: 2})
}

// BurstableShares is the weight of what all burstable pods that have not ended request together.
func BurstableShares(pods []*v1.Pod) int64 {
	var milli int64
	for _, p := range pods {
		if cri.QoS(p) == v1.PodQOSBurstable && p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed {
			req := helpers.PodRequests(p, helpers.PodResourcesOptions{})
			milli += req.Cpu().MilliValue()
		}
	}
	return cri.CPUShares(milli)
}

// Share sets the weight of the burstable class.
func (t *Tree) Share(weight int64) error {
	return t.ensure(path.Join(t.pods(), "burstable"), Limits{CPUShares: weight})
}

// EnsurePod makes a pod's cgroup and sets its limits. pids is how many processes and threads it may have; as many
// as there may be where that is not positive.
func (t *Tree) EnsurePod(pod *v1.Pod, pids int64) error {
	l := PodLimits(pod)
	l.PIDs = max(pids, 0)
	return t.ensure(t.PodParent(pod), l)
}

// LoosenPod lifts a pod's limits, so that its containers' may change in any order; EnsurePod sets them again.
func (t *Tree) LoosenPod(pod *v1.Pod) error {
	group := t.PodParent(pod)
	if t.unified {
		dir := filepath.Join(t.mounts[0], group)
		return errors.Join(put(dir, "cpu.max", "max"), put(dir, "memory.max", "max"))
	}
	for _, m := range t.mounts {
		dir := filepath.Join(m, group)
		for part := range strings.SplitSeq(filepath.Base(m), ",") {
			var err error
			switch part {
			case "cpu":
				err = put(dir, "cpu.cfs_quota_us", "-1")
			case "memory":
				err = put(dir, "memory.limit_in_bytes", "-1")
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// PodLimits sums up a pod; a limit counts only when every container has it.
func PodLimits(pod *v1.Pod) Limits {
	req := helpers.PodRequests(pod, helpers.PodResourcesOptions{})
	lim := helpers.PodLimits(pod, helpers.PodResourcesOptions{})
	l := Limits{CPUShares: cri.CPUShares(req.Cpu().MilliValue())}
	if limited(pod, v1.ResourceCPU) {
		l.CPUQuota = cri.CPUQuota(lim.Cpu().MilliValue())
	}
	if limited(pod, v1.ResourceMemory) {
		l.Memory = lim.Memory().Value()
	}
	return l
}

func limited(pod *v1.Pod, name v1.ResourceName) bool {
	if r := pod.Spec.Resources; r != nil && !r.Limits.Name(name, "").IsZero() {
		return true
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if q := c.Resources.Limits[name]; q.IsZero() {
				return false
			}
		}
	}
	return true
}

func (t *Tree) ensure(group string, l Limits) error {
	for _, m := range t.mounts {
		if t.unified {
			if err := enable(m, group); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(filepath.Join(m, group), 0o755); err != nil {
			return fmt.Errorf("creating cgroup %s: %w", group, err)
		}
	}
	if t.unified {
		return t.set2(filepath.Join(t.mounts[0], group), l)
	}
	return t.set1(group, l)
}

// enable hands the controllers down to the group's parents.
func enable(mountPoint, group string) error {
	dir := mountPoint
	for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("reading cgroup controllers: %w", err)
		}
		on, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		for c := range strings.FieldsSeq(string(have)) {
			if strings.Contains(" "+strings.TrimSpace(string(on))+" ", " "+c+" ") {
				continue
			}
			// A controller that cannot be handed down is missed when its file is written.
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644)
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			return fmt.Errorf("creating cgroup %s: %w", dir, err)
		}
	}
	return nil
}

func (t *Tree) set1(group string, l Limits) error {
	for _, m := range t.mounts {
		dir := filepath.Join(m, group)
		for part := range strings.SplitSeq(filepath.Base(m), ",") {
			var err error
			switch part {
			case "cpu":
				err = errors.Join(write(dir, "cpu.shares", l.CPUShares), write(dir, "cpu.cfs_quota_us", l.CPUQuota))
			case "memory":
				err = write(dir, "memory.limit_in_bytes", l.Memory)
			case "pids":
				err = write(dir, "pids.max", l.PIDs)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tree) set2(dir string, l Limits) error {
	if l.CPUShares > 0 {
		weight := 1 + (l.CPUShares-2)*9999/262142
		if err := write(dir, "cpu.weight", weight); err != nil {
			return err
		}
	}
	if l.CPUQuota > 0 {
		if err := put(dir, "cpu.max", fmt.Sprintf("%d %d", l.CPUQuota, cri.CPUPeriod)); err != nil {
			return err
		}
	}
	return errors.Join(write(dir, "memory.max", l.Memory), write(dir, "pids.max", l.PIDs))
}

func write(dir, file string, v int64) error {
	if v == 0 {
		return nil
	}
	return put(dir, file, strconv.FormatInt(v, 10))
}

func put(dir, file, v string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(v), 0o644); err != nil {
		return fmt.Errorf("setting %s: %w", file, err)
	}
	return nil
}

// RemovePod removes a pod's cgroup wherever it appears, whatever its class was.
func (t *Tree) RemovePod(uid string) error {
	var errs []error
	for _, m := range t.all {
		for _, class := range []string{"", "burstable", "besteffort"} {
			dir := filepath.Join(m, t.pods(), class, "pod"+uid)
			// Its containers are gone: what still runs there is what the runtime lost.
			errs = append(errs, killTree(dir), removeTree(dir))
		}
	}
	return errors.Join(errs...)
}

// RemoveRoot removes the whole tree; it fails while pods run. A root of its own goes too, if nothing else is in it.
func (t *Tree) RemoveRoot() error {
	var errs []error
	for _, m := range t.all {
		errs = append(errs, removeTree(filepath.Join(m, t.pods())))
		if t.root != "/" {
			_ = unix.Rmdir(filepath.Join(m, t.root))
		}
	}
	return errors.Join(errs...)
}

// killTree ends every process in the group and below.
func killTree(dir string) error {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for pid := range strings.FieldsSeq(string(b)) {
			n, err := strconv.Atoi(pid)
			if err != nil || n <= 1 { // 0: a process of another pid namespace
				continue
			}
			if err := unix.Kill(n, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("ending process %d of %s: %w", n, dir, err)
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// removeTree removes directories only (a cgroup's files go with it). A group whose last process has just
// exited stays busy for a moment; it is tried again for a short while.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && len(dirs) == 0 {
		return nil
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := removeBusy(dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

func removeBusy(dir string) error {
	var err error
	for delay := time.Millisecond; delay < 200*time.Millisecond; delay *= 2 {
		err = unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(delay)
	}
	return fmt.Errorf("removing cgroup %s: %w", dir, err)
}

// OnDisk lists the uids of pods that have a cgroup.
func (t *Tree) OnDisk() map[string]bool {
	out := map[string]bool{}
	for _, m := range t.mounts {
		for _, class := range []string{"", "burstable", "besteffort"} {
			entries, _ := os.ReadDir(filepath.Join(m, t.pods(), class))
			for _, e := range entries {
				if uid, ok := strings.CutPrefix(e.Name(), "pod"); ok && e.IsDir() {
					out[uid] = true
				}
			}
		}
	}
	return out
}

package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
)

// holder is a process that holds inotify instances.
type holder struct {
	pid, instances int
	name           string
	group          string // the cgroup of its container, "" for what is no pod's
	// hides stands for the container that had the most open files when there were too many to look at all: what pods
	// hold is then known only by what the host does not.
	hides bool
}

// pod is the uid of the pod it belongs to, if its group is one's.
func (h holder) pod() string { return strings.TrimPrefix(filepath.Base(filepath.Dir(h.group)), "pod") }

// planEnd says which pod is to be ended when no instance is left, "" for none.
//
// Only pods are ended, and only when it is they who left nothing: together they hold more
// than half of what there is. It is the one that holds most, and one that holds more than an
// honest pod does; where nobody can look through all of the pods' files, the one that has most
// of these.
func planEnd(limit int, holders []holder) (pod string) {
	of, all, hides := map[string]int{}, 0, ""
	hosts := 0
	for _, h := range holders {
		switch {
		case h.hides:
			hides = h.pod()
		case h.group != "":
			of[h.pod()] += h.instances
			all += h.instances
		default:
			hosts += h.instances
		}
	}
	if 2*all > limit {
		pods := slices.Sorted(maps.Keys(of))
		most := slices.MaxFunc(pods, func(a, b string) int { return cmp.Compare(of[a], of[b]) })
		if of[most] > bounds.PodWatches {
			return most
		}
	}
	if 2*hosts < limit {
		return hides
	}
	return ""
}

// named is how many holders are told of.
const named = 5

// describe names who holds most.
func describe(holders []holder, nameOf func(pod string) string) string {
	type share struct {
		who string
		n   int
	}
	of := map[string]*share{}
	for _, h := range holders {
		if h.hides {
			continue
		}
		who := fmt.Sprintf("%s (pid %d)", h.name, h.pid)
		if h.group != "" {
			who = "pod " + nameOf(h.pod())
		}
		if of[who] == nil {
			of[who] = &share{who: who}
		}
		of[who].n += h.instances
	}
	list := slices.SortedFunc(maps.Values(of), func(a, b *share) int { return cmp.Or(b.n-a.n, cmp.Compare(a.who, b.who)) })
	var out []string
	for _, s := range list[:min(named, len(list))] {
		out = append(out, fmt.Sprintf("%s holds %d", s.who, s.n))
	}
	if more := len(list) - named; more > 0 {
		out = append(out, fmt.Sprintf("%d more hold some", more))
	}
	if i := slices.IndexFunc(holders, func(h holder) bool { return h.hides }); i >= 0 {
		out = append(out, fmt.Sprintf("pod %s has more open files than could be looked at", nameOf(holders[i].pod())))
	}
	return strings.Join(out, ", ")
}

// holdersIn reads who holds instances from a proc file system. pods is the cgroup that all pods
// are below. same tells whether two processes mean one open file by a number: what a
// process has from the one that forked it counts once. Of pods no more than most open files
// are looked at, and one process's more.
func holdersIn(proc, pods string, most int, same func(pid, other, fd int) bool) ([]holder, error) {
	procs, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("reading processes: %w", err)
	}
	var out []holder
	first := map[string][]int{} // who has a number first, by container and number
	files := map[string]int{}   // of containers
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(proc, p.Name())
		h := holder{pid: pid, group: groupOf(dir, pods)}
		if h.group != "" && most <= 0 {
			files[h.group]++ // at least
			continue
		}
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // gone
		}
		if h.group != "" {
			files[h.group] += len(fds)
			most -= len(fds)
		}
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			if err != nil || to != "anon_inode:inotify" {
				continue
			}
			n, _ := strconv.Atoi(fd.Name())
			key := h.group + " " + fd.Name()
			if slices.ContainsFunc(first[key], func(other int) bool { return same(pid, other, n) }) {
				continue
			}
			if len(first[key]) < compared {
				first[key] = append(first[key], pid)
			}
			h.instances++
		}
		if h.instances == 0 {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		h.name = strings.TrimSpace(string(comm))
		out = append(out, h)
	}
	if most <= 0 && len(files) > 0 {
		groups := slices.Sorted(maps.Keys(files))
		out = append(out, holder{hides: true, group: slices.MaxFunc(groups, func(a, b string) int { return cmp.Compare(files[a], files[b]) })})
	}
	return out, nil
}

// compared is with how many processes a further one is compared.
const compared = 16

// sameFile asks the kernel. One that does not know takes all for different.
func sameFile(pid, other, fd int) bool {
	const kcmpFile = 0
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(other), kcmpFile, uintptr(fd), uintptr(fd), 0)
	return errno == 0 && r == 0
}

// groupOf is the cgroup of the pod's container that a process is in, "" when it is in none.
func groupOf(dir, pods string) string {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil || pods == "" {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		below, ok := strings.CutPrefix(parts[2], pods+"/")
		if !ok {
			continue
		}
		// [class/]pod<uid>/<container>[/…]
		names := strings.Split(below, "/")
		i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "pod") })
		if i >= 0 && i+1 < len(names) {
			return pods + "/" + strings.Join(names[:i+2], "/")
		}
	}
	return ""
}

package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/trouble"
)

const (
	housekeepEvery = 2 * time.Minute
	// leftAge is longer than anything takes to be made: what nobody knows at two looks so far apart was left behind.
	leftAge = 5 * time.Minute
)

// housekeep removes, slowly, what gone pods have left behind: a kubelet that was killed may have missed it.
func (k *Kubelet) housekeep(ctx context.Context) error {
	select {
	case <-k.ready:
	case <-ctx.Done():
		return nil
	}
	told := trouble.New(k.o.Log, k.failures, "removing what pods left behind")
	seen := looks{}
	ticker := time.NewTicker(housekeepEvery)
	defer ticker.Stop()
	for {
		if err := k.sweep(seen, time.Now()); err != nil {
			told.Failed(err)
		} else {
			told.Well()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// looks remembers when something that nobody knows was first seen.
type looks map[string]time.Time

// ripe are those of what was found now that were found long enough ago too, and ever since.
func (l looks) ripe(found []string, now time.Time) (out []string) {
	has := make(map[string]bool, len(found))
	for _, name := range found {
		has[name] = true
		first, seen := l[name]
		if !seen {
			l[name] = now
		} else if now.Sub(first) >= leftAge {
			out = append(out, name)
		}
	}
	for name := range l {
		if !has[name] {
			delete(l, name)
		}
	}
	return out
}

// sweep removes directories, cgroups and logs of pods that nobody knows.
func (k *Kubelet) sweep(seen looks, now time.Time) error {
	const volumes, cgroups, logs = "volumes/", "cgroup/", "logs/"
	var (
		found []string
		errs  []error
	)
	add := func(kind, name, uid string) {
		if !k.workers.Knows(types.UID(uid)) {
			found = append(found, kind+name)
		}
	}
	uids, err := k.volumes.OnDisk()
	errs = append(errs, err)
	for _, uid := range uids {
		add(volumes, uid, uid)
	}
	if k.cgroups != nil {
		for uid := range k.cgroups.OnDisk() {
			add(cgroups, uid, uid)
		}
	}
	entries, err := os.ReadDir(k.o.LogDir)
	errs = append(errs, err)
	for _, e := range entries {
		at := strings.LastIndexByte(e.Name(), '_')
		if at >= 0 && e.IsDir() && strings.Count(e.Name(), "_") == 2 {
			add(logs, e.Name(), e.Name()[at+1:])
		}
	}
	for _, name := range seen.ripe(found, now) {
		kind, rest, _ := strings.Cut(name, "/")
		switch kind + "/" {
		case volumes:
			errs = append(errs, k.volumes.TearDown(rest))
		case cgroups:
			errs = append(errs, k.cgroups.RemovePod(rest))
		case logs:
			errs = append(errs, os.RemoveAll(filepath.Join(k.o.LogDir, rest)))
		}
	}
	return errors.Join(errs...)
}

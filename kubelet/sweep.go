package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/sweep"
	"hyperkube/internal/trouble"
)

const (
	housekeepEvery = 2 * time.Minute
	// leftAge is longer than anything takes to be made: what nobody knows for so long was left behind.
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
	seen := &sweep.Sweeper[sweep.Suspect]{After: leftAge, Every: housekeepEvery}
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

// sweep removes directories, cgroups and logs of pods that nobody knows.
func (k *Kubelet) sweep(seen *sweep.Sweeper[sweep.Suspect], now time.Time) error {
	const volumes, cgroups, logs = "volumes", "cgroup", "logs"
	var (
		found []sweep.Suspect
		errs  []error
	)
	add := func(kind, name, uid string) {
		if !k.workers.Knows(types.UID(uid)) {
			found = append(found, sweep.Suspect{Kind: kind, Name: name})
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
	for _, l := range seen.Look(now, found) {
		switch l.Kind {
		case volumes:
			errs = append(errs, k.volumes.TearDown(l.Name))
		case cgroups:
			errs = append(errs, k.cgroups.RemovePod(l.Name))
		case logs:
			errs = append(errs, os.RemoveAll(filepath.Join(k.o.LogDir, l.Name)))
		}
	}
	return errors.Join(errs...)
}

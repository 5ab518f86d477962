package kubelet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// sweepPatience is how long something must have been nobody's before it is removed: longer than the making of a
// sandbox may take, with its volumes and cgroup in place before anything else of it can be seen.
const sweepPatience = 5 * time.Minute

// sightings are when each thing was first seen to be nobody's, without having been anybody's since.
type sightings map[string]time.Time

// ripe takes in a look and returns what two looks, far enough apart, agree on. Pure but for its memory.
func (s sightings) ripe(now time.Time, orphans []string) (out []string) {
	still := make(map[string]bool, len(orphans))
	for _, name := range orphans {
		still[name] = true
		if first, ok := s[name]; !ok {
			s[name] = now
		} else if now.Sub(first) >= sweepPatience {
			out = append(out, name)
		}
	}
	for name := range s {
		if !still[name] {
			delete(s, name)
		}
	}
	return out
}

// sweeper removes what pods that nobody knows have left behind: a kubelet that was killed may have missed it.
type sweeper struct {
	k                   *Kubelet
	dirs, cgroups, logs sightings
}

func newSweeper(k *Kubelet) *sweeper { return &sweeper{k, sightings{}, sightings{}, sightings{}} }

// sweep looks once. Whatever is about to go is asked for a last time.
func (s *sweeper) sweep(now time.Time) {
	uids, err := s.k.volumes.OnDisk()
	if err != nil {
		s.k.o.Log.Warn("listing pod directories", "err", err)
	}
	s.each(s.dirs, now, uids, s.k.volumes.TearDown)
	if s.k.cgroups != nil {
		uids = nil
		for uid := range s.k.cgroups.OnDisk() {
			uids = append(uids, uid)
		}
		s.each(s.cgroups, now, uids, s.k.cgroups.RemovePod)
	}
	logs, err := logDirs(s.k.o.LogDir)
	if err != nil {
		s.k.o.Log.Warn("listing log directories", "err", err)
	}
	uids = nil
	for uid := range logs {
		uids = append(uids, uid)
	}
	s.each(s.logs, now, uids, func(uid string) (err error) {
		for _, dir := range logs[uid] {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return err
	})
}

func (s *sweeper) each(seen sightings, now time.Time, uids []string, remove func(uid string) error) {
	var orphans []string
	for _, uid := range uids {
		if !s.k.workers.Has(types.UID(uid)) {
			orphans = append(orphans, uid)
		}
	}
	for _, uid := range seen.ripe(now, orphans) {
		if s.k.workers.Has(types.UID(uid)) {
			continue
		}
		if err := remove(uid); err != nil {
			s.k.o.Log.Warn("removing what a pod left behind", "uid", uid, "err", err)
		}
	}
}

// logDirs lists the directories that are named as those of pods are, by the pod's uid.
func logDirs(root string) (map[string][]string, error) {
	entries, err := os.ReadDir(root)
	out := map[string][]string{}
	for _, e := range entries {
		parts := strings.Split(e.Name(), "_")
		if e.IsDir() && len(parts) == 3 && parts[2] != "" {
			out[parts[2]] = append(out[parts[2]], filepath.Join(root, e.Name()))
		}
	}
	return out, err
}

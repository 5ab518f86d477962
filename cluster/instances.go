package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hyperkube/internal/bounds"
	"hyperkube/internal/pki"
	"hyperkube/internal/regular"
)

// instances is the host's limit of inotify instances for each user. The usual 128 are for the
// host and all pods that run as root: on a host with cgroup v2 each container's shim takes
// one, and a pod may take all.
//
//	up ─▶ note what was there ─▶ raise it
//	reset of the host's last cluster ─▶ put back what was there, unless somebody changed it since
//
// The note lies in /run, which goes with a reboot as what is set does, and beside the
// folders of all clusters.
type instances struct{ sysctl, note string }

func instancesOf(p Paths) instances {
	return instances{sysctl: "/proc/sys/fs/inotify/max_user_instances", note: filepath.Join(filepath.Dir(p.Run), "inotify.json")}
}

// raised is the note.
type raised struct{ Before, Set int }

// raise sees to it that there are enough. A host that refuses is told, and does without.
func (i instances) raise(log *slog.Logger, tell func(string)) {
	have, err := i.read()
	if err == nil && have >= bounds.WatchInstances {
		return
	}
	if err == nil {
		err = i.set(raised{have, bounds.WatchInstances})
	}
	if err != nil {
		log.Warn("the limit of inotify instances stays as it is", "err", err)
		tell(fmt.Sprintf("the limit of inotify instances stays as it is, and pods may take all (%v): raise it with `sysctl -w fs.inotify.max_user_instances=%d`", err, bounds.WatchInstances))
		return
	}
	log.Info("raised the limit of inotify instances", "from", have, "to", bounds.WatchInstances)
}

func (i instances) read() (int, error) {
	b, err := os.ReadFile(i.sysctl)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func (i instances) set(r raised) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := pki.WriteFile(i.note, b, 0o600); err != nil {
		return fmt.Errorf("noting what is to be put back: %w", err)
	}
	return os.WriteFile(i.sysctl, []byte(strconv.Itoa(r.Set)), 0)
}

// restore puts the limit back when no cluster is left on the host.
func (i instances) restore() error {
	found, err := os.ReadDir(filepath.Dir(i.note))
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range found {
		if e.IsDir() {
			return nil // another cluster's
		}
	}
	b, err := regular.ReadFile(i.note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what the limit of inotify instances was: %w", err)
	}
	var r raised
	have, err := i.read()
	if err == nil && json.Unmarshal(b, &r) == nil && r.Before > 0 && r.Set == have {
		err = os.WriteFile(i.sysctl, []byte(strconv.Itoa(r.Before)), 0)
	}
	if err != nil {
		return fmt.Errorf("putting the limit of inotify instances back: %w", err)
	}
	return ignoreGone(os.Remove(i.note))
}

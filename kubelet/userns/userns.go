// Package userns gives each pod with hostUsers: false a range of the node's user and group ids of its own: root in
// its containers is nobody on the node, and nobody in other pods.
//
//	<root>/pods/<uid>/userns    the range, in the standard kubelet's format; it is free again when the directory is gone
//
// The directories are the only memory: a kubelet that starts again finds every range that is in use.
package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/regular"
)

const (
	file = "userns"
	// Length is how many ids a pod gets. Ranges begin at multiples of it, the first one above the node's own users.
	Length = 1 << 16
	// ranges is how many of them the kernel's 32 bits have room for, without the node's own and the last.
	ranges = 1<<16 - 2
)

// mapping is a range as it is written down.
type mapping struct {
	HostID      uint32 `json:"hostId"`
	ContainerID uint32 `json:"containerId"`
	Length      uint32 `json:"length"`
}

type record struct {
	UIDs []mapping `json:"uidMappings"`
	GIDs []mapping `json:"gidMappings"`
}

// Wanted tells whether a pod asked for a user namespace of its own.
func Wanted(pod *v1.Pod) bool { return pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers }

// Ranges are the ranges of one node's pods.
type Ranges struct {
	pods string // directory of all pods
	mu   sync.Mutex
}

// New returns the ranges of the pods below that directory.
func New(pods string) *Ranges { return &Ranges{pods: pods} }

// Ensure gives a pod, whose directory is there, its range.
func (r *Ranges) Ensure(uid string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.first(uid); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(r.pods)
	if err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	taken := map[uint32]bool{}
	for _, e := range entries {
		first, err := r.first(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil { // whose range is not known might be any
			return err
		}
		taken[first] = true
	}
	for n := range uint32(ranges) {
		if first := (n + 1) * Length; !taken[first] {
			return r.write(uid, first)
		}
	}
	return errors.New("user namespace: no range of ids is free")
}

// write puts the range down in one step, and on disk: half a file, or one that a power cut has emptied, would hide a
// range that is in use, and with it keep every other pod from getting one.
func (r *Ranges) write(uid string, first uint32) error {
	one := []mapping{{HostID: first, Length: Length}}
	data, err := json.Marshal(record{UIDs: one, GIDs: one})
	if err != nil {
		return err
	}
	path := filepath.Join(r.pods, uid, file)
	f, err := regular.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.Write(data)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	return nil
}

// first is where a pod's range begins; fs.ErrNotExist for a pod without one.
func (r *Ranges) first(uid string) (uint32, error) {
	data, err := regular.ReadFile(filepath.Join(r.pods, uid, file))
	if err != nil {
		return 0, fmt.Errorf("user namespace: %w", err)
	}
	unknown := func(err error) error {
		return fmt.Errorf("user namespace of pod %s: its range of ids cannot be told from %s: %w: no pod gets a range until that pod is deleted, as it might be the same",
			uid, filepath.Join(r.pods, uid, file), err)
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return 0, unknown(err)
	}
	if len(rec.UIDs) != 1 || len(rec.GIDs) != 1 || rec.UIDs[0] != rec.GIDs[0] || rec.UIDs[0].Length != Length ||
		rec.UIDs[0].ContainerID != 0 || rec.UIDs[0].HostID < Length || rec.UIDs[0].HostID%Length != 0 {
		return 0, unknown(fmt.Errorf("not a range of this kubelet: %.200s", data))
	}
	return rec.UIDs[0].HostID, nil
}

// Of renders a pod's user namespace; nil for a pod that shares the node's. One that wants its own and has no range
// gets an empty one, which no runtime takes.
func (r *Ranges) Of(pod *v1.Pod) *runtimeapi.UserNamespace {
	if !Wanted(pod) {
		return nil
	}
	out := &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD}
	if first, err := r.first(string(pod.UID)); err == nil {
		out.Uids = []*runtimeapi.IDMapping{{HostId: first, Length: Length}}
		out.Gids = []*runtimeapi.IDMapping{{HostId: first, Length: Length}}
	}
	return out
}

// Package emptydir makes empty directories, on disk or in memory.
package emptydir

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/mount"
)

// Kind is the emptyDir volume.
type Kind struct{}

// Dir implements volume.Kind.
func (Kind) Dir() string { return "empty-dir" }

// Matches implements volume.Kind.
func (Kind) Matches(v *v1.Volume) bool { return v.EmptyDir != nil }

// InMemory tells the manager which volumes are mounts.
func (Kind) InMemory(v *v1.Volume) bool { return v.EmptyDir.Medium == v1.StorageMediumMemory }

// SetUp implements volume.Kind. A directory that is there keeps its content.
func (Kind) SetUp(_ context.Context, r volume.Request) (volume.Mounted, error) {
	_, err := os.Stat(r.Dir)
	fresh := os.IsNotExist(err)
	if err := os.MkdirAll(r.Dir, 0o750); err != nil {
		return volume.Mounted{}, err
	}
	switch medium := r.Volume.EmptyDir.Medium; medium {
	case v1.StorageMediumDefault:
	case v1.StorageMediumMemory:
		mounted, err := mount.IsPoint(r.Dir)
		if err != nil {
			return volume.Mounted{}, err
		}
		fresh = fresh || !mounted
		if err := mount.Tmpfs(r.Dir, sizeLimit(r), 0o777); err != nil {
			return volume.Mounted{}, err
		}
	default:
		return volume.Mounted{}, fmt.Errorf("storage medium %q is not supported yet by this kubelet", medium)
	}
	if !fresh {
		return volume.Mounted{Path: r.Dir}, nil
	}
	mode := fs.FileMode(0o777)
	if gid := volume.FSGroup(r.Pod); gid >= 0 {
		mode |= fs.ModeSetgid
		if err := os.Chown(r.Dir, -1, gid); err != nil {
			return volume.Mounted{}, err
		}
	}
	return volume.Mounted{Path: r.Dir}, os.Chmod(r.Dir, mode)
}

// sizeLimit is the smaller of the volume's own limit and what the pod's memory limits allow.
func sizeLimit(r volume.Request) int64 {
	var pod int64
	for _, c := range r.Pod.Spec.Containers {
		m := c.Resources.Limits.Memory().Value()
		if m == 0 {
			pod = 0
			break
		}
		pod += m
	}
	own := int64(0)
	if q := r.Volume.EmptyDir.SizeLimit; q != nil {
		own = q.Value()
	}
	if own > 0 && (pod == 0 || own < pod) {
		return own
	}
	return pod
}

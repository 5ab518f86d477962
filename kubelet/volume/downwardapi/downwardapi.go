// Package downwardapi shows a pod's own fields as files.
package downwardapi

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/downward"
	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/atomic"
)

// Kind is the downwardAPI volume.
type Kind struct{ Sources volume.Sources }

// Dir implements volume.Kind.
func (Kind) Dir() string { return "downward-api" }

// Matches implements volume.Kind.
func (Kind) Matches(v *v1.Volume) bool { return v.DownwardAPI != nil }

// SetUp implements volume.Kind.
func (k Kind) SetUp(_ context.Context, r volume.Request) (volume.Mounted, error) {
	mode := fs.FileMode(0o644)
	if m := r.Volume.DownwardAPI.DefaultMode; m != nil {
		mode = fs.FileMode(*m)
	}
	payload, err := Payload(r.Pod, r.Volume.DownwardAPI.Items, mode, k.Sources.Allocatable(), r.Budget)
	if err != nil {
		return volume.Mounted{}, err
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return volume.Mounted{}, err
	}
	_, err = atomic.Write(r.Dir, volume.ForGroup(payload, r.Pod), volume.FSGroup(r.Pod), k.Sources.Now())
	return volume.Mounted{Path: r.Dir}, err
}

// Payload renders the items of a downward API volume.
func Payload(pod *v1.Pod, items []v1.DownwardAPIVolumeFile, mode fs.FileMode, allocatable v1.ResourceList, b *atomic.Budget) (atomic.Payload, error) {
	out := atomic.Payload{}
	for _, it := range items {
		var (
			text string
			err  error
		)
		switch {
		case it.FieldRef != nil:
			text, err = downward.Field(pod, it.FieldRef.FieldPath)
		case it.ResourceFieldRef != nil:
			text, err = downward.Resource(pod, it.ResourceFieldRef.ContainerName, it.ResourceFieldRef, allocatable)
		}
		if err == nil {
			err = b.Take(len(text))
		}
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", it.Path, err)
		}
		f := atomic.File{Data: []byte(text), Mode: mode, UID: -1}
		if it.Mode != nil {
			f.Mode = fs.FileMode(*it.Mode)
		}
		out[it.Path] = f
	}
	return out, nil
}

// Package secret shows a secret as files in memory.
package secret

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/atomic"
	"hyperkube/kubelet/volume/mount"
)

// Kind is the secret volume.
type Kind struct{ Sources volume.Sources }

// Dir implements volume.Kind.
func (Kind) Dir() string { return "secret" }

// Matches implements volume.Kind.
func (Kind) Matches(v *v1.Volume) bool { return v.Secret != nil }

// InMemory tells the manager that each is a mount.
func (Kind) InMemory(*v1.Volume) bool { return true }

// SetUp implements volume.Kind.
func (k Kind) SetUp(ctx context.Context, r volume.Request) (volume.Mounted, error) {
	src := r.Volume.Secret
	s, err := k.Sources.Secret(ctx, r.Pod.Namespace, src.SecretName)
	if err != nil {
		return volume.Mounted{}, err
	}
	mode := fs.FileMode(0o644)
	if src.DefaultMode != nil {
		mode = fs.FileMode(*src.DefaultMode)
	}
	payload, err := Payload(s, src.SecretName, src.Items, mode, src.Optional != nil && *src.Optional, r.Budget)
	if err != nil {
		return volume.Mounted{}, err
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return volume.Mounted{}, err
	}
	if err := mount.Tmpfs(r.Dir, 0, 0o755); err != nil {
		return volume.Mounted{}, err
	}
	_, err = atomic.Write(r.Dir, volume.ForGroup(payload, r.Pod), volume.FSGroup(r.Pod), k.Sources.Now())
	return volume.Mounted{Path: r.Dir}, err
}

// Payload renders the files of a secret. A nil secret does not exist.
func Payload(s *v1.Secret, name string, items []v1.KeyToPath, mode fs.FileMode, optional bool, b *atomic.Budget) (atomic.Payload, error) {
	if s == nil {
		if !optional {
			return nil, fmt.Errorf("secret %q not found", name)
		}
		s = &v1.Secret{}
	}
	return volume.Files("secret", s.Data, items, mode, optional, b)
}

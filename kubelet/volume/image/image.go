// Package image makes volumes of container images. The runtime mounts them itself: what is made ready here is the
// image, by the volume's pull policy, once for the pod.
package image

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/regular"
	"hyperkube/kubelet/volume"
)

// Ensure makes an image present and returns what the runtime calls it.
type Ensure func(ctx context.Context, pod *v1.Pod, image string, policy v1.PullPolicy) (ref string, err error)

// Kind is the image volume.
type Kind struct{ Ensure Ensure }

// Dir implements volume.Kind.
func (Kind) Dir() string { return "image" }

// Matches implements volume.Kind.
func (Kind) Matches(v *v1.Volume) bool { return v.Image != nil }

// SetUp implements volume.Kind. What the image resolved to is kept beside the pod's other volumes, so that bringing
// those up to date pulls nothing.
func (k Kind) SetUp(ctx context.Context, r volume.Request) (volume.Mounted, error) {
	file := filepath.Join(r.Dir, "ref")
	known, err := regular.ReadFile(file)
	// A power cut may leave a file without its bytes: empty, or zeros.
	if err == nil && len(known) > 0 && !bytes.ContainsRune(known, 0) {
		return volume.Mounted{Image: string(known)}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return volume.Mounted{}, err
	}
	ref, err := k.Ensure(ctx, r.Pod, r.Volume.Image.Reference, policy(r.Volume.Image))
	if err != nil {
		return volume.Mounted{}, err
	}
	if err := os.MkdirAll(r.Dir, 0o750); err != nil {
		return volume.Mounted{}, err
	}
	return volume.Mounted{Image: ref}, regular.WriteFile(file, []byte(ref), 0o600)
}

// policy is the default where the API server of an older version has left it empty.
func policy(v *v1.ImageVolumeSource) v1.PullPolicy {
	if v.PullPolicy != "" {
		return v.PullPolicy
	}
	name := v.Reference[strings.LastIndexByte(v.Reference, '/')+1:]
	if strings.HasSuffix(name, ":latest") || !strings.ContainsAny(name, ":@") {
		return v1.PullAlways
	}
	return v1.PullIfNotPresent
}

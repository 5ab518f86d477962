// Package configmap shows a config map as files.
package configmap

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume"
	"hyperkube/kubelet/volume/atomic"
)

// Kind is the configMap volume.
type Kind struct{ Sources volume.Sources }

// Dir implements volume.Kind.
func (Kind) Dir() string { return "configmap" }

// Matches implements volume.Kind.
func (Kind) Matches(v *v1.Volume) bool { return v.ConfigMap != nil }

// SetUp implements volume.Kind.
func (k Kind) SetUp(ctx context.Context, r volume.Request) (volume.Mounted, error) {
	src := r.Volume.ConfigMap
	cm, err := k.Sources.ConfigMap(ctx, r.Pod.Namespace, src.Name)
	if err != nil {
		return volume.Mounted{}, err
	}
	payload, err := Payload(cm, src.Name, src.Items, mode(src.DefaultMode), yes(src.Optional), r.Budget)
	if err != nil {
		return volume.Mounted{}, err
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return volume.Mounted{}, err
	}
	_, err = atomic.Write(r.Dir, volume.ForGroup(payload, r.Pod), volume.FSGroup(r.Pod), k.Sources.Now())
	return volume.Mounted{Path: r.Dir}, err
}

func yes(b *bool) bool { return b != nil && *b }

func mode(m *int32) fs.FileMode {
	if m == nil {
		return 0o644
	}
	return fs.FileMode(*m)
}

// Payload renders the files of a config map, all of it or the items asked for. A nil map does not exist.
func Payload(cm *v1.ConfigMap, name string, items []v1.KeyToPath, mode fs.FileMode, optional bool, b *atomic.Budget) (atomic.Payload, error) {
	if cm == nil && !optional {
		return nil, fmt.Errorf("configmap %q not found", name)
	}
	data := map[string][]byte{}
	if cm != nil {
		for k, v := range cm.Data {
			data[k] = []byte(v)
		}
		for k, v := range cm.BinaryData {
			data[k] = v
		}
	}
	return volume.Files("configmap", data, items, mode, optional, b)
}

package volume

import (
	"fmt"
	"io/fs"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/volume/atomic"
)

// Files renders a map as files: every key, or those that items name.
func Files(kind string, data map[string][]byte, items []v1.KeyToPath, mode fs.FileMode, optional bool, b *atomic.Budget) (atomic.Payload, error) {
	out := atomic.Payload{}
	if len(items) == 0 {
		for k, v := range data {
			if err := b.Take(len(v)); err != nil {
				return nil, err
			}
			out[k] = atomic.File{Data: v, Mode: mode, UID: -1}
		}
		return out, nil
	}
	for _, it := range items {
		v, ok := data[it.Key]
		if !ok {
			if optional {
				continue
			}
			return nil, fmt.Errorf("references non-existent %s key: %s", kind, it.Key)
		}
		if err := b.Take(len(v)); err != nil {
			return nil, err
		}
		f := atomic.File{Data: v, Mode: mode, UID: -1}
		if it.Mode != nil {
			f.Mode = fs.FileMode(*it.Mode)
		}
		out[it.Path] = f
	}
	return out, nil
}

// ForGroup makes files readable for a pod's group.
func ForGroup(p atomic.Payload, pod *v1.Pod) atomic.Payload {
	if FSGroup(pod) < 0 {
		return p
	}
	for name, f := range p {
		f.Mode |= 0o440
		p[name] = f
	}
	return p
}

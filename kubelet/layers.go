package kubelet

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/sys/mountinfo"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/evict"
)

// layerTimeout bounds one question to a runtime whose layers cannot be seen from here.
const layerTimeout = 5 * time.Second

// layers begins a look at what containers have written to their own file systems: measured where the layer is found
// among our mounts, else as the runtime counted it last.
func (k *Kubelet) layers(ctx context.Context) func(*v1.Pod, string) (int64, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("overlay"))
	if err != nil {
		k.o.Log.Warn("reading mounts", "err", err)
	}
	dirs := evict.Layers(mounts)
	return func(pod *v1.Pod, container string) (int64, error) {
		st, ok := k.workers.Find(pod.Namespace, pod.Name, pod.UID)
		if !ok {
			return 0, nil
		}
		c := st.Runtime.Container(container)
		if c == nil {
			return 0, nil
		}
		if dir, ok := dirs[c.Id]; ok {
			return evict.Usage(ctx, dir)
		}
		ctx, cancel := context.WithTimeout(ctx, layerTimeout)
		defer cancel()
		resp, err := k.client.Runtime.ContainerStats(ctx, &runtimeapi.ContainerStatsRequest{ContainerId: c.Id})
		if err != nil {
			return 0, fmt.Errorf("container stats: %w", err)
		}
		return int64(resp.GetStats().GetWritableLayer().GetUsedBytes().GetValue()), nil
	}
}

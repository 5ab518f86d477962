package cri

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
)

// Labels and annotations that the standard kubelet puts on sandboxes and containers. Tools (crictl, log shippers) read them.
const (
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"

	annHash         = "io.kubernetes.container.hash"
	annRestartCount = "io.kubernetes.container.restartCount"
	annTermPath     = "io.kubernetes.container.terminationMessagePath"
	annTermPolicy   = "io.kubernetes.container.terminationMessagePolicy"
	annGrace        = "io.kubernetes.pod.terminationGracePeriod"
	annConfigSource = "kubernetes.io/config.source"
	annConfigSeen   = "kubernetes.io/config.seen"
	annTermHostPath = "hyperkube.io/termination-log" // where the host sees the termination message
)

// PodLabels are the labels of a pod's sandbox: its own, as far as there is room, and the identifying ones.
func PodLabels(pod *v1.Pod) map[string]string {
	out := fitted(pod.Labels, bounds.SandboxLabels)
	out[LabelPodName] = pod.Name
	out[LabelPodNamespace] = pod.Namespace
	out[LabelPodUID] = string(pod.UID)
	return out
}

// fitted is a copy of in, of at most most bytes: where that is not all, the longest are left out.
func fitted(in map[string]string, most int) map[string]string {
	out := make(map[string]string, min(len(in), most)+3)
	size := 0
	for k, v := range in {
		size += len(k) + len(v)
	}
	if size <= most {
		maps.Copy(out, in)
		return out
	}
	keys := slices.SortedFunc(maps.Keys(in), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a)+len(in[a]), len(b)+len(in[b])), strings.Compare(a, b))
	})
	for _, k := range keys {
		if most -= len(k) + len(in[k]); most < 0 {
			break
		}
		out[k] = in[k]
	}
	return out
}

func containerLabels(pod *v1.Pod, name string) map[string]string {
	return map[string]string{
		LabelPodName: pod.Name, LabelPodNamespace: pod.Namespace, LabelPodUID: string(pod.UID), LabelContainerName: name,
	}
}

// ContainerHash changes when a container must be replaced because its image was changed in place.
func ContainerHash(c *v1.Container) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.Name + "\x00" + c.Image))
	return strconv.FormatUint(uint64(h.Sum32()), 16)
}

// HashOf reads back the hash that a container was made with; empty when it was made by another kubelet.
func HashOf(annotations map[string]string) string { return annotations[annHash] }

// TerminationLog reads back where the host sees a container's termination message.
func TerminationLog(annotations map[string]string) (path string, policy v1.TerminationMessagePolicy) {
	return annotations[annTermHostPath], v1.TerminationMessagePolicy(annotations[annTermPolicy])
}

// PodLogDir is the directory of a pod's container logs.
func PodLogDir(root string, pod *v1.Pod) string {
	return filepath.Join(root, fmt.Sprintf("%s_%s_%s", pod.Namespace, pod.Name, pod.UID))
}

// ContainerLogPath is a container's log file relative to the pod's log directory.
func ContainerLogPath(name string, attempt uint32) string {
	return filepath.Join(name, fmt.Sprintf("%d.log", attempt))
}

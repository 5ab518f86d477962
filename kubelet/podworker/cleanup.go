package podworker

import (
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/steps"
)

// removeLogs removes a pod's logs and the links to them.
func (w *Worker) removeLogs(pod *v1.Pod, rt cri.Pod) {
	if w.d.LogLinks != "" {
		for _, c := range rt.Containers {
			_ = os.Remove(steps.LogLink(w.d.LogLinks, pod, c.Metadata.GetName(), c.Id))
		}
		dangling(w.d.LogLinks, pod)
	}
	if err := os.RemoveAll(cri.PodLogDir(w.d.LogRoot, pod)); err != nil {
		w.d.Log.Warn("removing logs", "pod", pod.Namespace+"/"+pod.Name, "err", err)
	}
}

// removeLink removes the link to the log of a container that the runtime has forgotten.
func (w *Worker) removeLink(pod *v1.Pod, rt cri.Pod, id string) {
	for _, c := range rt.Containers {
		if c.Id == id && w.d.LogLinks != "" {
			_ = os.Remove(steps.LogLink(w.d.LogLinks, pod, c.Metadata.GetName(), id))
		}
	}
}

// dangling removes the links of containers that the runtime forgot earlier.
func dangling(dir string, pod *v1.Pod) {
	links, err := filepath.Glob(filepath.Join(dir, pod.Name+"_"+pod.Namespace+"_*.log"))
	if err != nil {
		return
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && filepath.Base(filepath.Dir(filepath.Dir(to))) == pod.Namespace+"_"+pod.Name+"_"+string(pod.UID) {
			_ = os.Remove(l)
		}
	}
}

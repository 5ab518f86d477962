package podworker

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// allocateLocked is the pod with the size that the node gives it: the one it asks for if that fits, else the one
// it has. The caller holds the manager's lock.
func (m *Manager) allocateLocked(w *Worker, pod *v1.Pod) (*v1.Pod, Resize) {
	have, _, stop := w.snapshot()
	w.asked = nil
	if stop != nil || m.d.Fits == nil || sameSize(have, pod) {
		return pod, Resize{}
	}
	var others []*v1.Pod
	for _, p := range m.activeLocked() {
		if p.UID != pod.UID {
			others = append(others, p)
		}
	}
	pending, message := m.d.Fits(pod, others)
	if pending == "" {
		return pod, Resize{}
	}
	w.asked = pod
	return sizedAs(pod, have), Resize{Pending: pending, Message: message}
}

// updateLocked gives a worker its pod's newest state.
func (m *Manager) updateLocked(w *Worker, pod *v1.Pod) {
	got, r := m.allocateLocked(w, pod)
	w.change(func() {
		if r.Pending != "" && w.view.Resize.Pending != r.Pending {
			w.tellPod(v1.EventTypeWarning, "Resize"+r.Pending, r.Message)
		}
		w.view.Resize.Pending, w.view.Resize.Message = r.Pending, r.Message
		w.take(got)
	})
}

func sameSize(a, b *v1.Pod) bool {
	same := func(x, y []v1.Container) bool {
		return slices.EqualFunc(x, y, func(c, d v1.Container) bool { return equality.Semantic.DeepEqual(c.Resources, d.Resources) })
	}
	return same(a.Spec.InitContainers, b.Spec.InitContainers) && same(a.Spec.Containers, b.Spec.Containers)
}

// sizedAs is pod with the containers' resources of another state of it.
func sizedAs(pod, size *v1.Pod) *v1.Pod {
	out := *pod
	copySizes := func(to, from []v1.Container) []v1.Container {
		to = slices.Clone(to)
		for i := range to {
			for j := range from {
				if from[j].Name == to[i].Name {
					to[i].Resources = from[j].Resources
				}
			}
		}
		return to
	}
	out.Spec.InitContainers = copySizes(pod.Spec.InitContainers, size.Spec.InitContainers)
	out.Spec.Containers = copySizes(pod.Spec.Containers, size.Spec.Containers)
	return &out
}

// resumed is the pod with the size that an earlier kubelet gave it, which its status tells where a resize waits.
func resumed(pod *v1.Pod) *v1.Pod {
	if !slices.ContainsFunc(pod.Status.Conditions, func(c v1.PodCondition) bool { return c.Type == v1.PodResizePending }) {
		return pod
	}
	size := &v1.Pod{}
	for _, list := range [][]v1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range list {
			c := v1.Container{Name: s.Name}
			if s.Resources == nil {
				continue
			}
			c.Resources = v1.ResourceRequirements{Requests: s.AllocatedResources, Limits: s.Resources.Limits}
			size.Spec.Containers = append(size.Spec.Containers, c)
			size.Spec.InitContainers = append(size.Spec.InitContainers, c)
		}
	}
	return sizedAs(pod, size)
}

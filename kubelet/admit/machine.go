package admit

import (
	"fmt"
	"runtime"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/status"
)

// Machine returns nil when the machine has what a pod's protection asks for, else how the pod ends: it is never run
// with less. appArmor says whether the machine enforces AppArmor profiles.
func Machine(pod *v1.Pod, node *v1.Node, appArmor bool) *status.Final {
	if os, ok := pod.Spec.NodeSelector[v1.LabelOSStable]; ok && os != runtime.GOOS {
		return reject("PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label")
	}
	if pod.Spec.OS != nil && string(pod.Spec.OS.Name) != runtime.GOOS {
		return reject("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
	}
	if strictGroups(pod) && !knowsStrictGroups(node) {
		return reject("SupplementalGroupsPolicyNotSupported", fmt.Sprintf("SupplementalGroupsPolicy=%s is not supported in this node", v1.SupplementalGroupsPolicyStrict))
	}
	if !appArmor && wantsAppArmor(pod) {
		return reject("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
	}
	return nil
}

func strictGroups(pod *v1.Pod) bool {
	s := pod.Spec.SecurityContext
	return s != nil && s.SupplementalGroupsPolicy != nil && *s.SupplementalGroupsPolicy != v1.SupplementalGroupsPolicyMerge
}

func knowsStrictGroups(node *v1.Node) bool {
	return node != nil && node.Status.Features != nil && node.Status.Features.SupplementalGroupsPolicy != nil && *node.Status.Features.SupplementalGroupsPolicy
}

// wantsAppArmor tells whether a pod or any of its containers names a profile.
func wantsAppArmor(pod *v1.Pod) bool {
	wants := func(c *v1.Container) bool {
		p := cri.AppArmor(pod, c)
		return p != nil && p.Type != v1.AppArmorProfileTypeUnconfined
	}
	if wants(&v1.Container{}) {
		return true
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if wants(&list[i]) {
				return true
			}
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		c := v1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		if wants(&c) {
			return true
		}
	}
	return false
}

// Package admit says whether a pod that was bound to this node may start on it. The scheduler has decided by what it
// knew then; this is the last word, by what the node has now. Pure.
package admit

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"hyperkube/kubelet/status"
)

// Host is what the node itself decides by.
type Host struct {
	// Listeners are the ports that the host's own processes listen on; asked for only where a pod wants one. May be nil.
	Listeners func() ([]Port, error)
	Sysctls   Sysctls
}

// Pod returns nil when the pod may start, else how it ends. here are the other pods that use the node.
func Pod(pod *v1.Pod, here []*v1.Pod, node *v1.Node, host Host) *status.Final {
	if final := host.Sysctls.check(pod); final != nil {
		return final
	}
	if node == nil {
		return nil
	}
	if final := resources(pod, here, node); final != nil {
		return final
	}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !ok {
		return reject("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
	}
	if len(pod.Spec.Tolerations) > 0 || len(node.Spec.Taints) > 0 {
		if final := taints(pod, node); final != nil {
			return final
		}
	}
	return ports(pod, here, host.Listeners)
}

func reject(reason, why string) *status.Final {
	return &status.Final{Phase: v1.PodFailed, Reason: reason, Message: "Pod was rejected: " + why}
}

func resources(pod *v1.Pod, here []*v1.Pod, node *v1.Node) *status.Final {
	count := int64(1)
	used := v1.ResourceList{}
	for _, p := range here {
		if p.UID == pod.UID {
			continue
		}
		count++
		for name, q := range helpers.PodRequests(p, helpers.PodResourcesOptions{}) {
			sum := used[name]
			sum.Add(q)
			used[name] = sum
		}
	}
	if most := node.Status.Allocatable.Pods().Value(); count > most && most > 0 {
		return reject("OutOfpods", fmt.Sprintf("Node didn't have enough resource: pods, requested: 1, used: %d, capacity: %d", count-1, most))
	}
	for name, want := range helpers.PodRequests(pod, helpers.PodResourcesOptions{}) {
		have, known := node.Status.Allocatable[name]
		if !known || want.IsZero() { // what the node does not know of is not its to refuse
			continue
		}
		u := used[name]
		sum := u.DeepCopy()
		sum.Add(want)
		if sum.Cmp(have) > 0 {
			return reject("OutOf"+string(name), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d",
				name, units(name, want), units(name, u), units(name, have)))
		}
	}
	return nil
}

// Resize says whether a pod that runs may have the size it asks for: nothing when it may, else why it must wait, or
// never will.
func Resize(pod *v1.Pod, others []*v1.Pod, node *v1.Node) (pending, message string) {
	if node == nil {
		return "", ""
	}
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
		want, have := helpers.PodRequests(pod, helpers.PodResourcesOptions{})[name], node.Status.Allocatable[name]
		if want.Cmp(have) > 0 {
			return v1.PodReasonInfeasible, fmt.Sprintf("Node didn't have enough capacity: %s, requested: %d, capacity: %d", name, units(name, want), units(name, have))
		}
		sum := want.DeepCopy()
		for _, p := range others {
			sum.Add(helpers.PodRequests(p, helpers.PodResourcesOptions{})[name])
		}
		if sum.Cmp(have) > 0 && pending == "" {
			used := sum.DeepCopy()
			used.Sub(want)
			pending = v1.PodReasonDeferred
			message = fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, units(name, want), units(name, used), units(name, have))
		}
	}
	return pending, message
}

func units(name v1.ResourceName, q resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

func taints(pod *v1.Pod, node *v1.Node) *status.Final {
	noExecute := func(t *v1.Taint) bool { return t.Effect == v1.TaintEffectNoExecute }
	t, untolerated := corev1.FindMatchingUntoleratedTaint(klog.Background(), node.Spec.Taints, pod.Spec.Tolerations, noExecute, false)
	if !untolerated {
		return nil
	}
	return reject("TaintToleration", fmt.Sprintf("Predicate TaintToleration failed: node(s) had untolerated taint {%s: %s}", t.Key, t.Value))
}

package podworker

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
)

// decideStop takes the pod down: main containers, then sidecars from the last to the first, the sandbox, the rest.
func decideStop(v View, p *Plan) {
	if v.Now.Before(v.Stop.Drain) {
		p.wake(v.Stop.Drain)
		return
	}
	if killContainers(v, p) || busy(v) {
		return
	}
	for _, sb := range v.Runtime.Sandboxes {
		if sb.State == runtimeapi.PodSandboxState_SANDBOX_READY {
			p.do(Action{Op: OpStopSandbox, ID: sb.Id})
			return
		}
	}
	if !v.Down {
		if v.Now.Before(v.SetUp.RetryAt) {
			p.wake(v.SetUp.RetryAt)
			return
		}
		p.do(Action{Op: OpTearDown})
		return
	}
	if v.Stop.Deleted || v.Stop.Removed {
		if v.Now.Before(v.SetUp.RetryAt) {
			p.wake(v.SetUp.RetryAt)
			return
		}
		p.do(Action{Op: OpForget})
	}
}

func busy(v View) bool {
	for _, op := range v.Busy {
		if op != "" {
			return true
		}
	}
	return false
}

// killContainers reports whether containers still run.
func killContainers(v View, p *Plan) bool {
	sidecars := map[string]bool{}
	for i := range v.Pod.Spec.InitContainers {
		if c := &v.Pod.Spec.InitContainers[i]; cri.Restartable(c) {
			sidecars[c.Name] = true
		}
	}
	left := false
	for _, c := range v.Runtime.Containers {
		if running(c) && !sidecars[c.Metadata.GetName()] {
			left = true
			killOne(v, p, c)
		}
	}
	if left {
		return true
	}
	for _, c := range v.Pod.Spec.InitContainers {
		if op := v.Busy[c.Name]; op == OpStart {
			return true
		}
	}
	for i := len(v.Pod.Spec.InitContainers) - 1; i >= 0; i-- {
		name := v.Pod.Spec.InitContainers[i].Name
		if c := v.Runtime.Container(name); sidecars[name] && running(c) {
			killOne(v, p, c)
			return true
		}
	}
	return false
}

func killOne(v View, p *Plan, c *runtimeapi.ContainerStatus) {
	name := c.Metadata.GetName()
	if v.Busy[name] != "" {
		return
	}
	deadline := v.Stop.Deadline
	if least := v.Now.Add(minGrace); deadline.Before(least) {
		deadline = least
	}
	p.do(Action{Op: OpKill, Container: name, ID: c.Id, Deadline: deadline, Message: fmt.Sprintf("Stopping container %s", name), Note: true})
}

// specOf finds a container's spec by name, with the word for its list in field paths.
func specOf(pod *v1.Pod, name string) (*v1.Container, string) {
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == name {
			return &pod.Spec.Containers[i], "containers"
		}
	}
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == name {
			return &pod.Spec.InitContainers[i], "initContainers"
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == name {
			c := v1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
			return &c, "ephemeralContainers"
		}
	}
	return nil, ""
}

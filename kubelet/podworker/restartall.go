package podworker

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A container's exit may, by a rule, ask for all containers of its pod to be restarted in place: everything that
// runs is killed at once, then the pod begins anew with its init containers, in the sandbox and with the volumes that
// it has. Which containers are from before is told by their creation alone, so that a kubelet that
// is started in the middle goes on where the last one was.

// restart is an exit that asks for all containers to be restarted.
type restart struct {
	at       int64 // what was created before is history
	id, name string
	code     int32
}

// lastRestart is the newest of them; its zero value when there is none.
func lastRestart(v View) (last restart) {
	for _, c := range v.Runtime.Containers {
		name := c.Metadata.GetName()
		spec, list := specOf(v.Pod, name)
		if spec == nil || list == "ephemeralContainers" || !exited(c) || caught(v, c) || c.FinishedAt <= last.at {
			continue
		}
		if ruleFor(spec, c.ExitCode) == v1.ContainerRestartRuleActionRestartAllContainers {
			last = restart{at: c.FinishedAt, id: c.Id, name: name, code: c.ExitCode}
		}
	}
	return last
}

// killBefore kills what is left from before a restart of all containers and tells whether anything is.
func killBefore(v View, p *Plan) bool {
	left := before(v)
	for _, c := range left {
		if name := c.Metadata.GetName(); v.Busy[name] == "" {
			p.do(Action{Op: OpKill, Container: name, ID: c.Id, Deadline: v.Now, Now: true, Planned: true, Note: true,
				Message: fmt.Sprintf("Stopping container %s", name)})
		}
	}
	return len(left) > 0
}

// restBefore keeps a pod from beginning anew until the container that asked for it has rested.
func restBefore(v View, p *Plan) bool {
	last := lastRestart(v)
	return last.at != 0 && rests(v, p, last.name, last.id, last.at)
}

// before lists what still runs from before a restart of all containers.
func before(v View) (out []*runtimeapi.ContainerStatus) {
	last := lastRestart(v)
	if last.at == 0 {
		return nil
	}
	for _, c := range v.Runtime.Containers {
		if running(c) && c.CreatedAt < last.at {
			out = append(out, c)
		}
	}
	return out
}

// restarting is the pod's condition about it; nil when its containers have never been restarted together.
func restarting(v View) *v1.PodCondition {
	last := lastRestart(v)
	if last.at == 0 {
		return nil
	}
	c := &v1.PodCondition{Type: v1.AllContainersRestarting, Status: v1.ConditionFalse, Reason: "ContainerExited",
		Message: fmt.Sprintf("Container %s exited with code %d, triggering pod restart", last.name, last.code)}
	if len(before(v)) > 0 {
		c.Status = v1.ConditionTrue
	}
	return c
}

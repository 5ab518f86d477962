package podworker

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/status"
)

// drain covers the way of a deletion through endpoint slices to the nodes' rules,
// which takes tens of milliseconds on a quiet cluster and ten times as many on a busy one. The pod's grace period
// runs meanwhile.
const drain = 500 * time.Millisecond

const sandboxChanged = "Pod sandbox changed, it will be killed and re-created."

// Timings that Kubernetes documents.
const (
	minGrace      = 2 * time.Second
	crashFirst    = 10 * time.Second
	crashMost     = 5 * time.Minute
	crashForgiven = 10 * time.Minute
	pullShown     = time.Second // how long ErrImagePull stays before ImagePullBackOff
)

// Decide returns what to do for a pod. It changes nothing and asks nobody.
func Decide(v View) (p Plan) {
	p = Plan{Waiting: map[string]status.Waiting{}}
	if v.Gone {
		return p
	}
	defer p.rest(v)
	if v.Stop == nil {
		if p.Stop = mustStop(v, &p); p.Stop != nil {
			v.Stop = p.Stop
		}
	}
	if v.Stop != nil {
		decideStop(v, &p)
		return p
	}
	if !v.Held {
		decideRun(v, &p)
	}
	return p
}

// mustStop finds reasons that lie in the pod and the time.
func mustStop(v View, p *Plan) *Stop {
	grace := minGrace
	if g := v.Pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = max(grace, bounds.Seconds(*g))
	}
	switch phase := v.Pod.Status.Phase; phase {
	case v1.PodSucceeded, v1.PodFailed:
		return &Stop{Deadline: v.Now.Add(grace), Final: status.Final{
			Phase: phase, Reason: v.Pod.Status.Reason, Message: v.Pod.Status.Message, Refused: neverBegan(v),
		}}
	}
	if limit := v.Pod.Spec.ActiveDeadlineSeconds; limit != nil && v.Pod.Status.StartTime != nil {
		end := v.Pod.Status.StartTime.Add(bounds.Seconds(*limit))
		if !v.Now.Before(end) {
			return &Stop{Deadline: v.Now.Add(grace), Message: "DeadlineExceeded", Final: status.Final{
				Phase: v1.PodFailed, Reason: "DeadlineExceeded", Message: "Pod was active on the node longer than the specified deadline",
			}}
		}
		p.wake(end)
	}
	if finished(v) {
		return &Stop{Deadline: v.Now.Add(grace)}
	}
	return nil
}

// neverBegan tells whether a pod that has ended is one that was refused: nothing was ever reported of containers.
func neverBegan(v View) bool {
	s := v.Pod.Status
	return s.Reason != "" && len(s.ContainerStatuses)+len(s.InitContainerStatuses) == 0 && len(v.Runtime.Containers)+len(v.Runtime.Sandboxes) == 0
}

// finished tells whether nothing of the pod will run again: every main container has ended for good, or an init
// container has.
func finished(v View) bool {
	for i := range v.Pod.Spec.InitContainers {
		c := &v.Pod.Spec.InitContainers[i]
		if cur := latest(v, c.Name); !cri.Restartable(c) && exited(cur) && cur.ExitCode != 0 && !restarts(v.Pod, c, cur.ExitCode, true) {
			return true
		}
	}
	for i := range v.Pod.Spec.Containers {
		c := &v.Pod.Spec.Containers[i]
		if v.Runtime.Container(c.Name) == nil && ended(v.Pod, c) {
			continue
		}
		cur := latest(v, c.Name)
		if !exited(cur) || v.Busy[c.Name] == OpStart || restarts(v.Pod, c, cur.ExitCode, false) {
			return false
		}
	}
	return true
}

// ended tells whether the API knows that a container that the runtime has forgotten ended for good.
func ended(pod *v1.Pod, c *v1.Container) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == c.Name && s.State.Terminated != nil {
			return !restarts(pod, c, s.State.Terminated.ExitCode, false)
		}
	}
	return false
}

func exited(c *runtimeapi.ContainerStatus) bool {
	return c != nil && c.State == runtimeapi.ContainerState_CONTAINER_EXITED
}

func running(c *runtimeapi.ContainerStatus) bool {
	return c != nil && c.State == runtimeapi.ContainerState_CONTAINER_RUNNING
}

// ruleFor is the action of the first of the container's rules that an exit meets; empty when none does.
func ruleFor(c *v1.Container, code int32) v1.ContainerRestartRuleAction {
	for _, r := range c.RestartPolicyRules {
		if r.ExitCodes == nil {
			continue
		}
		in := slices.Contains(r.ExitCodes.Values, code)
		if in == (r.ExitCodes.Operator == v1.ContainerRestartRuleOnExitCodesOpIn) {
			return r.Action
		}
	}
	return ""
}

// restarts applies the container's rules, its own policy and the pod's, in that order.
func restarts(pod *v1.Pod, c *v1.Container, code int32, init bool) bool {
	if ruleFor(c, code) != "" {
		return true
	}
	policy := pod.Spec.RestartPolicy
	if c.RestartPolicy != nil {
		policy = v1.RestartPolicy(*c.RestartPolicy)
	}
	if init && policy == v1.RestartPolicyAlways && !cri.Restartable(c) {
		policy = v1.RestartPolicyOnFailure
	}
	switch policy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

// decideRun works towards every container running.
func decideRun(v View, p *Plan) {
	sb := v.Runtime.ReadySandbox()
	if sb != nil && v.Broken == sb.Id {
		decideBroken(v, p, sb)
		return
	}
	if sb == nil || !v.SetUp.Done {
		decideSetUp(v, p, sb)
	}
	sweep(v, p)
	if killBefore(v, p) || restBefore(v, p) {
		return // everything begins anew once all is down
	}
	initDone := decideInit(v, p, sb)
	for i := range v.Pod.Spec.EphemeralContainers {
		c := v1.Container(v.Pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		if v.Runtime.Container(c.Name) == nil {
			begin(v, p, &c, 0)
		}
	}
	if !initDone {
		return
	}
	for i := range v.Pod.Spec.Containers {
		keep(v, p, &v.Pod.Spec.Containers[i], false)
	}
	decideResize(v, p)
}

// decideSetUp gets the sandbox, volumes and the rest to stand.
func decideSetUp(v View, p *Plan, ready *runtimeapi.PodSandboxStatus) {
	if v.Busy[PodKey] != "" {
		return
	}
	attempt := uint32(0)
	if old := v.Runtime.Sandbox(); old != nil {
		attempt = old.Metadata.GetAttempt() + 1
		if ready == nil && v.SetUp.Done {
			// The sandbox has died under its containers: its network is released before a new one is made.
			p.do(Action{Op: OpStopSandbox, ID: old.Id, Note: true, Message: sandboxChanged})
			return
		}
	}
	if v.Now.Before(v.SetUp.RetryAt) {
		p.wake(v.SetUp.RetryAt)
		return
	}
	p.do(Action{Op: OpSetUp, Attempt: attempt})
}

// decideBroken takes down a sandbox that stands but has lost its network; a new one is made when it is down. A pod
// that always restarts gets its time to end; the end of another would be taken for its result, and must not look well.
func decideBroken(v View, p *Plan, sb *runtimeapi.PodSandboxStatus) {
	if v.Busy[PodKey] != "" {
		return
	}
	left := false
	for _, c := range v.Runtime.Containers {
		if !running(c) || v.Pod.Spec.RestartPolicy != v1.RestartPolicyAlways {
			continue
		}
		left = true
		if name := c.Metadata.GetName(); v.Busy[name] == "" {
			p.do(Action{Op: OpKill, Container: name, ID: c.Id, Deadline: v.Now.Add(grace(v.Pod, Container{})), Planned: true, Note: true,
				Message: fmt.Sprintf("Stopping container %s", name)})
		}
	}
	if !left { // what has happened was told when it was found
		p.do(Action{Op: OpStopSandbox, ID: sb.Id})
	}
}

// latest is the newest container of that name that counts: neither caught in its start nor from before a restart of
// all containers.
func latest(v View, name string) *runtimeapi.ContainerStatus {
	c := v.Runtime.Container(name)
	if c == nil || caught(v, c) || c.CreatedAt < lastRestart(v).at {
		return nil
	}
	return c
}

// caught tells whether a container's start was cut short, so that it has never run.
func caught(v View, c *runtimeapi.ContainerStatus) bool {
	return v.Containers[c.Metadata.GetName()].Caught == c.Id && c.StartedAt == 0 && !running(c)
}

// current is the newest container of that name in the sandbox that stands; those of an earlier sandbox are history.
func current(v View, name string) *runtimeapi.ContainerStatus {
	c, sb := v.Runtime.Container(name), v.Runtime.ReadySandbox()
	if c == nil || sb == nil || c.CreatedAt < max(sb.CreatedAt, lastRestart(v).at) {
		return nil
	}
	return c
}

// decideInit goes through init containers and sidecars in order and reports whether main containers may run.
func decideInit(v View, p *Plan, sb *runtimeapi.PodSandboxStatus) bool {
	list := v.Pod.Spec.InitContainers
	mainStarted := false
	for i := range v.Pod.Spec.Containers {
		mainStarted = mainStarted || current(v, v.Pod.Spec.Containers[i].Name) != nil
	}
	for i := range list {
		c := &list[i]
		cur := current(v, c.Name)
		if cri.Restartable(c) {
			keep(v, p, c, true)
			if mainStarted || running(cur) && v.Containers[c.Name].Probe.ID == cur.Id && v.Containers[c.Name].Probe.Started {
				continue
			}
			return false
		}
		if mainStarted || exited(cur) && cur.ExitCode == 0 && v.Busy[c.Name] == "" {
			continue
		}
		keep(v, p, c, true)
		return false
	}
	return true
}

// keep starts, replaces or leaves alone one container.
func keep(v View, p *Plan, c *v1.Container, init bool) {
	cur, mem := current(v, c.Name), v.Containers[c.Name]
	switch {
	case cur == nil:
		old := v.Runtime.Container(c.Name)
		if old != nil && old.CreatedAt < lastRestart(v).at {
			begin(v, p, c, nextAttempt(v, c.Name))
			return
		}
		if !init && (exited(old) && !restarts(v.Pod, c, old.ExitCode, init) || old == nil && ended(v.Pod, c)) {
			return // it had ended for good in an earlier sandbox
		}
		begin(v, p, c, nextAttempt(v, c.Name))
	case caught(v, cur):
		discard(v, p, c, cur)
	case running(cur):
		if mem.FailedID == cur.Id && v.Busy[c.Name] == "" {
			p.do(Action{Op: OpKill, Container: c.Name, ID: cur.Id, Deadline: v.Now.Add(grace(v.Pod, mem)), Message: mem.Failed, Note: true})
		} else if h := cri.HashOf(cur.Annotations); h != "" && h != cri.ContainerHash(c) && v.Busy[c.Name] == "" {
			p.do(Action{Op: OpKill, Container: c.Name, ID: cur.Id, Deadline: v.Now.Add(grace(v.Pod, Container{})), Note: true,
				Message: fmt.Sprintf("Container %s definition changed, will be restarted", c.Name)})
		}
	case exited(cur):
		if v.Busy[c.Name] == OpStart || init && !cri.Restartable(c) && cur.ExitCode == 0 || !restarts(v.Pod, c, cur.ExitCode, init) {
			return
		}
		again(v, p, c, cur)
	default: // created and not started: a start was interrupted
		discard(v, p, c, cur)
	}
}

// discard removes a container whose start was interrupted. The runtime may still be at it, and refuse.
func discard(v View, p *Plan, c *v1.Container, cur *runtimeapi.ContainerStatus) {
	if v.Busy[c.Name] == OpStart {
		return
	}
	if f := v.Containers[c.Name].Fault; f != nil {
		showFault(v, p, c, f)
	}
	if v.Busy[c.Name] == "" {
		p.do(Action{Op: OpRemove, Container: c.Name, ID: cur.Id})
	}
}

func grace(pod *v1.Pod, mem Container) time.Duration {
	g := int64(30)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		g = *pod.Spec.TerminationGracePeriodSeconds
	}
	if mem.FailedGrace != nil {
		g = *mem.FailedGrace
	}
	return max(minGrace, bounds.Seconds(g))
}

// again restarts an exited container when it has rested.
func again(v View, p *Plan, c *v1.Container, cur *runtimeapi.ContainerStatus) {
	if !rests(v, p, c.Name, cur.Id, cur.FinishedAt) {
		begin(v, p, c, cur.Metadata.GetAttempt()+1)
	}
}

// rests tells whether a container that exited must still rest, and says so where it is the case.
func rests(v View, p *Plan, name, id string, exit int64) bool {
	mem := v.Containers[name]
	due := time.Unix(0, exit).Add(mem.Crash.Delay)
	if mem.Crash.ID != id || mem.Crash.Delay == 0 || !v.Now.Before(due) {
		return false
	}
	p.wait(name, "CrashLoopBackOff", fmt.Sprintf("back-off %v restarting failed container=%s pod=%s_%s(%s)",
		mem.Crash.Delay, name, v.Pod.Name, v.Pod.Namespace, v.Pod.UID))
	if !mem.Crash.Told {
		p.Notes = append(p.Notes, Note{name, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)",
			name, v.Pod.Name, v.Pod.Namespace, v.Pod.UID)})
	}
	p.wake(due)
	return true
}

func nextAttempt(v View, name string) uint32 {
	next := uint32(0)
	if c := v.Runtime.Container(name); c != nil {
		next = c.Metadata.GetAttempt() + 1
	}
	for _, list := range [][]v1.ContainerStatus{v.Pod.Status.ContainerStatuses, v.Pod.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.Name == name && (s.State.Waiting == nil && s.ContainerID != "" || s.LastTerminationState.Terminated != nil) {
				next = max(next, uint32(s.RestartCount)+1)
			}
		}
	}
	return next
}

// begin gets the image, side by side with the set-up, and then starts the container.
func begin(v View, p *Plan, c *v1.Container, attempt uint32) {
	if v.Busy[c.Name] != "" {
		if f := v.Containers[c.Name].Fault; f != nil && (v.Busy[c.Name] == OpPull || v.Busy[c.Name] == OpLook) {
			showFault(v, p, c, f)
		}
		return
	}
	mem := v.Containers[c.Name]
	if f := mem.Fault; f != nil && v.Now.Before(f.RetryAt) {
		showFault(v, p, c, f)
		p.wake(f.RetryAt)
		look(v, p, c, f)
		return
	}
	if mem.Image == nil {
		p.do(Action{Op: OpPull, Container: c.Name})
		if mem.Fault != nil {
			showFault(v, p, c, mem.Fault)
		}
		return
	}
	if v.Runtime.ReadySandbox() == nil || !v.SetUp.Done {
		return
	}
	p.do(Action{Op: OpStart, Container: c.Name, Attempt: attempt})
}

// look has an image that could not be pulled looked for again and again while the next pull rests: somebody may import
// it, or another pod may have pulled it with credentials of its own.
func look(v View, p *Plan, c *v1.Container, f *Fault) {
	switch {
	case f.LookAt.IsZero() || c.ImagePullPolicy == v1.PullAlways:
	case v.Now.Before(f.LookAt):
		p.wake(f.LookAt)
	default:
		p.do(Action{Op: OpLook, Container: c.Name})
	}
}

func showFault(v View, p *Plan, c *v1.Container, f *Fault) {
	if f.Reason != images.ErrImagePull {
		p.wait(c.Name, f.Reason, f.Message)
		return
	}
	shown := f.At.Add(pullShown)
	if v.Now.Before(shown) {
		p.wait(c.Name, f.Reason, f.Message)
		p.wake(shown)
		return
	}
	p.wait(c.Name, images.ImagePullBackOff, fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.Image, f.Message))
}

// sweep forgets dead containers of which there is a newer dead one: one is kept for its log and last state.
func sweep(v View, p *Plan) {
	dead := map[string]int{}
	for _, c := range v.Runtime.Containers {
		name := c.Metadata.GetName()
		if !exited(c) {
			continue
		}
		dead[name]++ // newest first
		if dead[name] > 2 && v.Busy["sweep/"+c.Id] == "" {
			p.do(Action{Op: OpRemove, Container: "sweep/" + c.Id, ID: c.Id})
		}
	}
}

// Running tells whether a container runs.
func Running(c *runtimeapi.ContainerStatus) bool { return running(c) }

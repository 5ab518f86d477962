package podworker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"google.golang.org/protobuf/proto"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/probe"
	"hyperkube/kubelet/steps"
	"hyperkube/kubelet/volume"
)

const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 2 * time.Minute
	pullFirst  = 10 * time.Second
	pullMost   = 5 * time.Minute
	lookEvery  = 10 * time.Second // for an image, while its next pull rests
)

// perform does one action and returns how the view changes by it; that runs under the lock.
func (w *Worker) perform(ctx context.Context, pod *v1.Pod, a Action) (apply func(), err error) {
	switch a.Op {
	case OpSetUp:
		return w.setUp(ctx, pod, a)
	case OpPull:
		return w.pull(ctx, pod, a)
	case OpLook:
		return w.present(ctx, pod, a)
	case OpStart:
		return w.start(ctx, pod, a)
	case OpKill:
		return w.kill(ctx, pod, a)
	case OpRemove:
		_, rt, _ := w.snapshot()
		err := w.d.Client.RemoveContainer(ctx, a.ID)
		if err == nil {
			w.removeLink(pod, rt, a.ID)
		}
		return func() {
			if err == nil {
				w.view.Runtime.RemoveContainer(a.ID)
			}
		}, err
	case OpStopSandbox:
		return w.stopSandbox(ctx, a)
	case OpTearDown:
		err := steps.TearDown(ctx, w.d.Pod, &steps.Pod{API: pod})
		return w.settled(err, func() { w.view.Down = true }), err
	case OpResize:
		return w.resize(ctx, pod)
	case OpForget:
		err := w.forget(ctx, pod)
		return w.settled(err, func() { w.view.Gone = true }), err
	}
	return w.refreshed(ctx, pod)
}

// settled applies done, or has the action tried again later.
func (w *Worker) settled(err error, done func()) func() {
	return func() {
		if err == nil {
			w.view.SetUp.Failures, w.view.SetUp.RetryAt = 0, time.Time{}
			done()
			return
		}
		w.later()
	}
}

func (w *Worker) later() {
	w.view.SetUp.RetryAt = time.Now().Add(doubling(retryFirst, retryMost, w.view.SetUp.Failures))
	w.view.SetUp.Failures++
}

func (w *Worker) setUp(ctx context.Context, pod *v1.Pod, a Action) (func(), error) {
	_, rt, _ := w.snapshot()
	p := &steps.Pod{API: pod, Attempt: a.Attempt, Sandbox: rt.ReadySandbox(), HostIPs: w.d.HostIPs(), Told: w.told, Dead: rt.DeadSandboxes(), Tell: w.tellPod}
	w.mu.Lock()
	p.Unfinished = w.view.SetUp.Unfinished
	w.mu.Unlock()
	err := steps.SetUp(ctx, w.d.Pod, p)
	if err != nil && ctx.Err() == nil {
		w.tellSetUp(err)
	}
	return func() {
		if p.Sandbox != nil {
			w.merge(p.Sandbox)
		}
		if err != nil {
			w.later()
			w.view.SetUp.Lost, w.view.SetUp.Unfinished = interrupted(err), p.Unfinished
			return
		}
		w.view.SetUp = SetUp{Done: true}
		w.setVolumes(p.Volumes)
	}, err
}

func (w *Worker) setVolumes(got map[string]volume.Mounted) {
	w.volumes, w.refresh = got, time.Time{}
	for _, m := range got {
		if !m.RefreshAt.IsZero() && (w.refresh.IsZero() || m.RefreshAt.Before(w.refresh)) {
			w.refresh = m.RefreshAt
		}
	}
}

// tellSetUp makes an event of each thing that failed.
func (w *Worker) tellSetUp(err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			w.tellSetUp(e)
		}
		return
	}
	var (
		step *steps.Error
		vol  *volume.Error
		told *steps.Told
	)
	if errors.As(err, &step) {
		if many, ok := step.Err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				w.tellSetUp(e)
			}
			return
		}
	}
	switch {
	case errors.As(err, &told):
		w.tellPod(v1.EventTypeWarning, told.Reason, told.Error())
	case errors.As(err, &vol):
		w.tellPod(v1.EventTypeWarning, "FailedMount", vol.Error())
	case step != nil && step.Step == "sandbox":
		w.tellPod(v1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: "+step.Err.Error())
	default:
		w.tellPod(v1.EventTypeWarning, "FailedCreatePodContainer", "unable to ensure pod container exists: "+err.Error())
	}
}

func (w *Worker) refreshed(ctx context.Context, pod *v1.Pod) (func(), error) {
	got, err := w.d.Volumes.SetUp(ctx, pod)
	if err != nil && ctx.Err() == nil {
		w.tellSetUp(err)
	}
	return func() {
		if err == nil {
			w.setVolumes(got)
			return
		}
		w.refresh = time.Now().Add(retryMost / 4)
	}, err
}

func (w *Worker) pull(ctx context.Context, pod *v1.Pod, a Action) (func(), error) {
	spec, _ := specOf(pod, a.Container)
	img, err := w.d.Images.Ensure(ctx, pod, spec, w.tell(a.Container))
	if err == nil {
		return func() { w.hasImage(a.Container, img) }, nil
	}
	fault := &Fault{Reason: images.ErrImagePull, Message: err.Error(), At: time.Now(), Pull: true}
	var e *images.Error
	if errors.As(err, &e) {
		fault.Reason, fault.Message = e.Reason, e.Message
	}
	if ctx.Err() != nil {
		return nil, err
	}
	w.tell(a.Container)(v1.EventTypeWarning, "Failed", "Error: "+fault.Reason)
	w.tell(a.Container)(v1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", spec.Image))
	return func() {
		fault.LookAt = fault.At.Add(lookEvery)
		w.fault(a.Container, fault, pullFirst, pullMost)
	}, err
}

// present ends the rest of an image's pull when the image is there. What keeps it from being looked at is no news: the
// next pull tells.
func (w *Worker) present(ctx context.Context, pod *v1.Pod, a Action) (func(), error) {
	spec, _ := specOf(pod, a.Container)
	img, there := w.d.Images.Look(ctx, spec, w.tell(a.Container))
	return func() {
		if there {
			w.hasImage(a.Container, img)
			return
		}
		mem := w.view.Containers[a.Container]
		if mem.Fault != nil {
			f := *mem.Fault
			f.LookAt = time.Now().Add(lookEvery)
			mem.Fault = &f
			w.view.Containers[a.Container] = mem
		}
	}, nil
}

func (w *Worker) hasImage(name string, img images.Image) {
	mem := w.view.Containers[name]
	mem.Image = &img
	if mem.Fault != nil && mem.Fault.Pull { // one of the start is over when the container has started
		mem.Fault = nil
	}
	w.view.Containers[name] = mem
}

// fault remembers a failed start and when to try again.
func (w *Worker) fault(name string, f *Fault, first, most time.Duration) {
	mem := w.view.Containers[name]
	if mem.Fault != nil && mem.Fault.Reason == f.Reason {
		f.Failures = mem.Fault.Failures + 1
	}
	f.RetryAt = f.At.Add(doubling(first, most, f.Failures))
	mem.Fault, mem.Image = f, nil
	w.view.Containers[name] = mem
}

func (w *Worker) start(ctx context.Context, pod *v1.Pod, a Action) (func(), error) {
	if err := w.starts.take(ctx); err != nil {
		return nil, err
	}
	release := sync.OnceFunc(w.starts.leave)
	defer release()
	spec, _ := specOf(pod, a.Container)
	w.mu.Lock()
	c := &steps.Container{
		Pod:  &steps.Pod{API: pod, HostIPs: w.d.HostIPs(), Sandbox: w.view.Runtime.ReadySandbox(), Volumes: w.volumes},
		Spec: spec, Attempt: a.Attempt, Tell: w.tell(a.Container), IPs: w.view.Runtime.IPs(), Target: w.target(a.Container),
	}
	mem := w.view.Containers[a.Container]
	if mem.Image != nil {
		c.Image = *mem.Image
	}
	c.Unfinished = mem.Unfinished
	w.mu.Unlock()
	if pod.Spec.HostNetwork {
		c.IPs = c.Pod.HostIPs
	}
	if c.Pod.Sandbox == nil {
		return nil, errors.New("the sandbox is gone")
	}
	err := steps.Start(ctx, w.d.Containers, c)
	st := w.look(ctx, c.ID, runtimeapi.ContainerState_CONTAINER_RUNNING)
	if err == nil && spec.Lifecycle != nil && spec.Lifecycle.PostStart != nil {
		if st != nil {
			w.change(func() { w.merge(nil, st) })
		}
		release() // the hook may take its time
		w.postStart(ctx, pod, spec, c)
	}
	return func() {
		mem := w.view.Containers[a.Container]
		mem.Image, mem.Ports, mem.Unfinished = nil, c.Image.Ports, c.Unfinished
		if interrupted(err) {
			mem.Caught = c.ID // before what became of it is taken in
		}
		w.view.Containers[a.Container] = mem
		if st != nil {
			w.merge(nil, st)
		}
		w.started(a.Container, c.ID, err)
	}, err
}

// target is the id of the container that an ephemeral one looks into.
func (w *Worker) target(name string) string {
	for _, e := range w.view.Pod.Spec.EphemeralContainers {
		if e.Name == name && e.TargetContainerName != "" {
			if c := w.view.Runtime.Container(e.TargetContainerName); c != nil {
				return c.Id
			}
		}
	}
	return ""
}

func (w *Worker) started(name, id string, err error) {
	if err == nil {
		mem := w.view.Containers[name]
		mem.Fault = nil
		w.view.Containers[name] = mem
		if w.d.Observe.Started != nil {
			w.d.Observe.Started()
		}
		if !w.booted && w.d.Observe.Booted != nil {
			w.d.Observe.Booted(time.Since(w.seen))
		}
		w.booted = true
		return
	}
	f := &Fault{Reason: "CreateContainerError", Message: err.Error(), At: time.Now()}
	var e *steps.StartError
	if errors.As(err, &e) {
		f.Reason, f.Message = e.Reason, e.Err.Error()
	}
	f.Lost = interrupted(err)
	w.fault(name, f, retryFirst*2, retryMost)
}

// told is what events have told of a sandbox so far.
func (w *Worker) told(id string) *runtimeapi.PodSandboxStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sb := range w.view.Runtime.Sandboxes {
		if sb.Id == id {
			return sb
		}
	}
	return nil
}

// look is a container as the runtime has it, which is asked where no event has told that the container is past
// least; nil when there is none.
func (w *Worker) look(ctx context.Context, id string, least runtimeapi.ContainerState) *runtimeapi.ContainerStatus {
	if id == "" {
		return nil
	}
	_, rt, _ := w.snapshot()
	for _, c := range rt.Containers {
		if c.Id == id && cri.Past(c.State, least) {
			return c
		}
	}
	st, err := w.d.Client.ContainerStatus(context.WithoutCancel(ctx), id)
	if err != nil {
		return nil
	}
	return st
}

func (w *Worker) postStart(ctx context.Context, pod *v1.Pod, spec *v1.Container, c *steps.Container) {
	w.mu.Lock()
	t := probe.Target{Pod: pod, Container: spec, ID: c.ID, PodIP: w.podIP()}
	w.mu.Unlock()
	err := w.d.Hooks.Run(ctx, spec.Lifecycle.PostStart, t)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.tell(spec.Name)(v1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
	w.change(func() {
		mem := w.view.Containers[spec.Name]
		mem.FailedID, mem.Failed = c.ID, "FailedPostStartHook"
		w.view.Containers[spec.Name] = mem
	})
}

func (w *Worker) kill(ctx context.Context, pod *v1.Pod, a Action) (func(), error) {
	w.mu.Lock()
	mem := w.view.Containers[a.Container]
	first := mem.Killing != a.ID
	if first || a.Deadline.Before(mem.KillBy) {
		mem.Killing, mem.KillBy = a.ID, a.Deadline
	}
	overdue := !first && !time.Now().Before(mem.KillBy)
	if a.Planned {
		mem.Crash = Crash{ID: a.ID, Count: mem.Crash.Count} // taken for known, so that its end adds no rest
	}
	w.view.Containers[a.Container] = mem
	w.mu.Unlock()
	if a.Note && first {
		w.tell(a.Container)(v1.EventTypeNormal, "Killing", a.Message)
	}
	spec, _ := specOf(pod, a.Container)
	if first && !a.Now && spec != nil && spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil && time.Until(a.Deadline) > minGrace/2 {
		w.preStop(ctx, pod, spec, a)
	}
	grace := max(time.Until(a.Deadline), minGrace) // from the signal on, also of one that is told later than others
	if err := w.stops.take(ctx); err != nil {
		return nil, err
	}
	leave := sync.OnceFunc(w.stops.leave)
	defer leave()
	defer time.AfterFunc(signalled, leave).Stop()
	if a.Now || overdue { // the runtime could not even send the signal, as where an image names one that does not exist
		grace = 0
	}
	err := w.d.Client.StopContainer(ctx, a.ID, grace)
	st := w.look(ctx, a.ID, runtimeapi.ContainerState_CONTAINER_EXITED)
	return func() {
		switch {
		case st != nil:
			w.merge(nil, st)
		case err == nil:
			w.view.Runtime.RemoveContainer(a.ID)
		}
	}, err
}

func (w *Worker) preStop(ctx context.Context, pod *v1.Pod, spec *v1.Container, a Action) {
	w.mu.Lock()
	t := probe.Target{Pod: pod, Container: spec, ID: a.ID, PodIP: w.podIP()}
	w.mu.Unlock()
	hook, cancel := context.WithDeadline(ctx, a.Deadline)
	defer cancel()
	// A container that exits meanwhile takes its hook with it.
	if err := w.d.Hooks.Run(hook, spec.Lifecycle.PreStop, t); err != nil && ctx.Err() == nil {
		w.tell(spec.Name)(v1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
	}
}

func (w *Worker) stopSandbox(ctx context.Context, a Action) (func(), error) {
	w.mu.Lock()
	first := w.view.Retry[a.key()].Failures == 0
	w.mu.Unlock()
	if a.Note && first {
		w.tellPod(v1.EventTypeNormal, "SandboxChanged", a.Message)
	}
	err := w.d.Client.StopSandbox(ctx, a.ID)
	return func() {
		if err != nil {
			return
		}
		w.view.SetUp = SetUp{}
		for i, sb := range w.view.Runtime.Sandboxes {
			if sb.Id == a.ID {
				sb = proto.CloneOf(sb)
				sb.State = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
				w.view.Runtime.Sandboxes[i] = sb
			}
		}
	}, err
}

// forget reports the pod's end, removes what is left of it in the runtime and, when the API waits for it, the API
// object last: whoever sees that gone finds nothing of the pod on the node.
func (w *Worker) forget(ctx context.Context, pod *v1.Pod) error {
	_, rt, stop := w.snapshot()
	if !stop.Removed {
		sent := make(chan struct{})
		w.mu.Lock()
		w.report(ctx, Plan{}, func() { close(sent) })
		w.mu.Unlock()
		select {
		case <-sent:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, c := range rt.Containers {
		if err := w.d.Client.RemoveContainer(ctx, c.Id); err != nil {
			return err
		}
	}
	for _, sb := range rt.Sandboxes {
		if err := w.d.Client.RemoveSandbox(ctx, sb.Id); err != nil {
			return err
		}
	}
	w.removeLogs(pod, rt)
	if stop.Removed {
		return nil
	}
	return w.d.DeletePod(ctx, pod)
}

// tell returns how events of a container are made.
func (w *Worker) tell(container string) images.Tell {
	return func(eventType, reason, message string) {
		w.d.Recorder.Event(w.reference(container), eventType, reason, message)
	}
}

func (w *Worker) tellPod(eventType, reason, message string) {
	w.d.Recorder.Event(w.reference(""), eventType, reason, message)
}

// reference names the pod, or one of its containers, in an event. It reads only what never changes.
func (w *Worker) reference(container string) runtime.Object {
	pod := w.self
	ref := &v1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	if container != "" {
		_, list := specOf(pod, container)
		if list == "" {
			list = "ephemeralContainers" // added since
		}
		ref.FieldPath = fmt.Sprintf("spec.%s{%s}", list, container)
	}
	return ref
}

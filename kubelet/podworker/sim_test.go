package podworker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"google.golang.org/protobuf/proto"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/status"
)

// sim is the world of one pod without a runtime or an API: it performs plans by changing the view.
type sim struct {
	v       View
	start   time.Time
	seq     int
	pending []Action
	log     []string
}

func newSim(pod *v1.Pod) *sim {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	return &sim{start: start, v: View{Pod: pod, Now: start, Busy: map[string]Op{}, Containers: map[string]Container{}}}
}

func (s *sim) stamp() int64 {
	s.seq++
	return s.v.Now.UnixNano() + int64(s.seq)
}

// decide makes one decision and begins its actions.
func (s *sim) decide() Plan {
	p := Decide(s.v)
	if p.Stop != nil {
		s.v.Stop = p.Stop
	}
	for _, n := range p.Notes {
		s.log = append(s.log, "event "+n.Container+": "+n.Reason+": "+n.Message)
	}
	Noted(s.v.Containers, p)
	for _, a := range p.Actions {
		if s.v.Busy[a.Container] != "" {
			panic(fmt.Sprintf("%s %q while %s is under way", a.Op, a.Container, s.v.Busy[a.Container]))
		}
		s.v.Busy[a.Container] = a.Op
		s.pending = append(s.pending, a)
	}
	return p
}

// finish ends a pending action, with success or not.
func (s *sim) finish(a Action, ok bool) {
	s.pending = slices.DeleteFunc(s.pending, func(x Action) bool { return x == a })
	delete(s.v.Busy, a.Container)
	mem := s.v.Containers[a.Container]
	if !ok && (a.Op == OpKill || a.Op == OpRemove || a.Op == OpStopSandbox) {
		s.v.Retry = failed(s.v.Retry, a, s.v.Now)
		return
	}
	delete(s.v.Retry, a.key())
	switch a.Op {
	case OpSetUp:
		if !ok {
			s.retry()
			return
		}
		if s.v.Runtime.ReadySandbox() == nil {
			s.v.Runtime.Merge(&runtimeapi.PodSandboxStatus{Id: fmt.Sprintf("sb%d", a.Attempt), CreatedAt: s.stamp(),
				Metadata: &runtimeapi.PodSandboxMetadata{Attempt: a.Attempt}})
		}
		s.v.SetUp = SetUp{Done: true}
	case OpPull:
		if ok {
			mem.Image, mem.Fault = &images.Image{Ref: "img"}, nil
		} else {
			f := &Fault{Reason: images.ErrImagePull, Message: "no such image", At: s.v.Now}
			if mem.Fault != nil {
				f.Failures = mem.Fault.Failures + 1
			}
			f.RetryAt, f.LookAt = s.v.Now.Add(doubling(pullFirst, pullMost, f.Failures)), s.v.Now.Add(lookEvery)
			mem.Fault = f
		}
		s.v.Containers[a.Container] = mem
	case OpLook:
		if ok {
			mem.Image, mem.Fault = &images.Image{Ref: "img"}, nil
		} else {
			f := *mem.Fault
			f.LookAt = s.v.Now.Add(lookEvery)
			mem.Fault = &f
		}
		s.v.Containers[a.Container] = mem
	case OpStart:
		mem.Image = nil
		s.v.Containers[a.Container] = mem
		if !ok || s.v.Runtime.ReadySandbox() == nil {
			mem.Fault = &Fault{Reason: "CreateContainerError", Message: "cannot", At: s.v.Now, RetryAt: s.v.Now.Add(time.Second)}
			s.v.Containers[a.Container] = mem
			return
		}
		id := fmt.Sprintf("%s-%d", a.Container, a.Attempt)
		s.v.Runtime.Merge(nil, &runtimeapi.ContainerStatus{Id: id, State: runtimeapi.ContainerState_CONTAINER_RUNNING, CreatedAt: s.stamp(),
			StartedAt: s.v.Now.UnixNano(), Metadata: &runtimeapi.ContainerMetadata{Name: a.Container, Attempt: a.Attempt}, Resources: s.size(a.Container)})
		mem.Probe = status.Probed{ID: id, Started: true, Ready: true}
		s.v.Containers[a.Container] = mem
	case OpKill:
		if a.Planned {
			mem.Crash = Crash{ID: a.ID, Count: mem.Crash.Count}
			s.v.Containers[a.Container] = mem
		}
		s.exit(a.ID, 137)
	case OpResize:
		if !ok {
			s.v.Resize.Error, s.v.Resize.RetryAt = "cannot", s.v.Now.Add(time.Second)
			return
		}
		s.v.Resize = Resize{}
		for id, c := range unsized(s.v) {
			have, _ := cri.ActualSize(s.v.Runtime.Container(c.Name))
			if cri.RestartsFor(c, have, cri.SizeOf(c)) {
				continue
			}
			n := proto.CloneOf(s.v.Runtime.Container(c.Name))
			n.Resources = s.size(c.Name)
			s.v.Runtime.Merge(nil, n)
			mem := s.v.Containers[c.Name]
			mem.Sized = Sized{id, cri.SizeOf(c)}
			s.v.Containers[c.Name] = mem
		}
	case OpRemove:
		s.v.Runtime.RemoveContainer(a.ID)
	case OpStopSandbox:
		s.sandboxDies(a.ID)
		s.v.SetUp.Done = false
	case OpTearDown:
		if !ok {
			s.retry()
			return
		}
		s.v.Down = true
	case OpForget:
		if !ok {
			s.retry()
			return
		}
		s.v.Gone = true
	}
}

// size is what a runtime reports of a container that has the spec's size.
func (s *sim) size(name string) *runtimeapi.ContainerResources {
	spec, _ := specOf(s.v.Pod, name)
	if spec == nil {
		return nil
	}
	want := cri.SizeOf(spec)
	return &runtimeapi.ContainerResources{Linux: &runtimeapi.LinuxContainerResources{CpuShares: want.Shares, CpuQuota: want.Quota,
		CpuPeriod: cri.CPUPeriod, MemoryLimitInBytes: want.Memory}}
}

func (s *sim) retry() {
	s.v.SetUp.RetryAt = s.v.Now.Add(doubling(retryFirst, retryMost, s.v.SetUp.Failures))
	s.v.SetUp.Failures++
}

func (s *sim) exit(id string, code int32) {
	for _, c := range s.v.Runtime.Containers {
		if c.Id == id && running(c) {
			n := &runtimeapi.ContainerStatus{Id: id, State: runtimeapi.ContainerState_CONTAINER_EXITED, CreatedAt: c.CreatedAt, StartedAt: c.StartedAt,
				FinishedAt: s.v.Now.UnixNano(), ExitCode: code, Metadata: c.Metadata}
			s.v.Runtime.Merge(nil, n)
			name := c.Metadata.Name
			s.v.Containers[name] = Remember(s.v.Containers[name], s.v.Runtime.Container(name))
			return
		}
	}
}

func (s *sim) sandboxDies(id string) {
	for i, sb := range s.v.Runtime.Sandboxes {
		if sb.Id == id {
			s.v.Runtime.Sandboxes[i] = &runtimeapi.PodSandboxStatus{Id: id, CreatedAt: sb.CreatedAt, Metadata: sb.Metadata, State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}
		}
	}
	for _, c := range s.v.Runtime.Clone().Containers {
		s.exit(c.Id, 137)
	}
}

// settle performs everything with success until nothing is to be done now.
func (s *sim) settle() Plan {
	for range 100 {
		p := s.decide()
		if len(s.pending) == 0 {
			return p
		}
		for _, a := range slices.Clone(s.pending) {
			s.log = append(s.log, s.describe(a))
			s.finish(a, true)
		}
	}
	panic("the pod does not settle")
}

func (s *sim) describe(a Action) string {
	out := string(a.Op)
	if a.Container != "" && !strings.HasPrefix(a.Container, "sweep/") {
		out += " " + a.Container
	}
	if a.Op == OpStart || a.Op == OpSetUp {
		out += fmt.Sprintf(" #%d", a.Attempt)
	}
	if a.Op == OpRemove {
		out += " " + a.ID
	}
	if a.Op == OpKill {
		out += fmt.Sprintf(" within %v", a.Deadline.Sub(s.v.Now))
	}
	if a.Message != "" {
		out += ": " + a.Message
	}
	return out
}

// describePlan renders what a decision asks for beside its actions, and the phase that the API would show.
func (s *sim) describePlan(p Plan) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.Waiting)) {
		fmt.Fprintf(&b, "%s waits: %s (%s)\n", name, p.Waiting[name].Reason, p.Waiting[name].Message)
	}
	if !p.WakeAt.IsZero() {
		fmt.Fprintf(&b, "wake in %v\n", p.WakeAt.Sub(s.v.Now))
	}
	in := status.Input{Pod: s.v.Pod, Runtime: s.v.Runtime, Waiting: p.Waiting, Probed: map[string]status.Probed{}, Now: s.v.Now, SandboxReady: s.v.SetUp.Done}
	for name, c := range s.v.Containers {
		in.Probed[name] = c.Probe
	}
	in.Resize = status.Resize{Error: s.v.Resize.Error, InProgress: len(unsized(s.v)) > 0}
	if st := s.v.Stop; st != nil {
		in.Final = st.Final
		if in.Final.Done = !anyRunning(s.v); !in.Final.Done {
			in.Final.Phase = ""
		}
	}
	got := status.Compute(in)
	fmt.Fprintf(&b, "phase %s", got.Phase)
	for _, c := range got.Conditions {
		if c.Type == v1.PodReady {
			fmt.Fprintf(&b, ", ready %s", c.Status)
		}
	}
	for _, c := range got.Conditions {
		if c.Type == v1.PodResizeInProgress {
			b.WriteString(", resizing " + c.Message)
		}
	}
	if got.Reason != "" {
		fmt.Fprintf(&b, ", reason %s", got.Reason)
	}
	if s.v.Gone {
		b.WriteString(", gone")
	}
	b.WriteString("\n")
	return b.String()
}

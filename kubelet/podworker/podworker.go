// Package podworker runs pods: one worker for each pod uid, from the moment the API (or a manifest) names it until
// nothing of it is left on the node.
//
//	          ┌────────────── sandbox died ─────────────┐
//	          ▼                                         │
//	──▶ Starting ──sandbox and volumes stand──▶ Running ┤
//	          │                                         │
//	          │   deleted, refused, deadline passed,    │
//	          └───────── nothing left to run ───────────┤
//	                                                    ▼
//	                                                Stopping   containers down (sidecars last), sandbox down
//	                                                    │
//	                                                    ▼
//	                                                 Stopped   volumes unmounted, cgroup removed
//	                                                    │      final status reported; logs can still be read
//	                                      deleted ──────┤
//	                                                    ▼
//	                                                  Gone     runtime objects removed, API object deleted
//
// Decide is pure: it looks at a View (the pod, what the runtime has, what is under way, the time) and returns a Plan.
// The worker performs plans: each action on a goroutine of its own, at most one for a container and one for the pod,
// whose result is fed back into the View. Whatever changes the View (an API update, a runtime event, a probe's verdict,
// a finished action, the clock) leads to the next decision; there is no polling.
//
// What must survive the kubelet lives in the runtime (labels, attempts) and the API (status): a new kubelet that finds
// a pod's containers running builds the same View and decides to leave them alone.
package podworker

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/status"
)

// View is all that Decide sees.
type View struct {
	Pod     *v1.Pod
	Now     time.Time
	Runtime cri.Pod
	Stop    *Stop // nil while the pod may run
	SetUp   SetUp
	Busy    map[string]Op // by container name; PodKey for the pod as a whole
	// Containers is what the worker remembers of containers, by name.
	Containers map[string]Container
	Resize     Resize
	Retry      map[string]Retry // actions that failed, by Action.key
	Held       bool             // waits until pods that are going have left the node to it
	Broken     string           // id of a sandbox that has lost its network
	Down       bool             // volumes and cgroup are gone
	Gone       bool             // nothing is left
}

// PodKey is the key in View.Busy of what concerns the whole pod.
const PodKey = ""

// Stop says that a pod must not run (any more).
type Stop struct {
	Final    status.Final
	Deleted  bool // the API asks for the pod to be removed
	Removed  bool // the API does not have the pod any more
	Deadline time.Time
	// Drain is how long containers are left alone, so that services have stopped
	// sending to a pod before its processes stop listening.
	Drain   time.Time
	Message string // of the Killing events; empty for the usual
}

// SetUp is how far the pod's own steps are.
type SetUp struct {
	Done     bool
	Failures int
	RetryAt  time.Time
	Lost     bool // the runtime was gone: tried again when it is back
	// Unfinished is what is known of a sandbox that took longer than anyone waits: the runtime may still be at it.
	Unfinished string
}

// Retry is how often an action has failed in a row and when it may be tried again.
type Retry struct {
	Failures int
	At       time.Time
}

// Resize is how far the pod is from the size that it asks for.
type Resize struct {
	// Pending and Message say why the spec's newest size is not tried; empty when it is.
	Pending, Message string
	Error            string // of the last try
	Failures         int
	RetryAt          time.Time
}

// Sized is the size that a container, by its runtime id, was last given.
type Sized struct {
	ID   string
	Size cri.Size
}

// Container is what is remembered of one container.
type Container struct {
	Sized Sized
	Image *images.Image // present, for the next start
	Ports []int32       // that the image of the last start listens on
	Fault *Fault
	Crash Crash
	Probe status.Probed
	// Failed is why a probe or hook wants the container (by id) to be replaced.
	FailedID, Failed string
	FailedGrace      *int64
	// Caught is the id of a container whose start was cut short, by an end of the runtime
	// or of the kubelet: it never ran, and counts for nothing.
	Caught string
	// Unfinished is what is known of a start that took longer than anyone waits: the runtime may still be at it.
	Unfinished string
	// Killing is the id of the container whose end was told and whose hook has run, KillBy until when it may take.
	Killing string
	KillBy  time.Time
}

// Fault is a start that did not succeed.
type Fault struct {
	Reason, Message string
	At, RetryAt     time.Time
	LookAt          time.Time // when to look whether the image is there without a pull; zero for never
	Failures        int
	Lost            bool // the runtime was gone: tried again when it is back
	Pull            bool // it is the image that was not to be had
}

// Crash says how long the exited container with this id must rest.
type Crash struct {
	ID    string
	Count int
	Delay time.Duration
	Told  bool // that it rests, as an event
}

// Op is something under way.
type Op string

// The operations.
const (
	OpSetUp       Op = "set up"
	OpPull        Op = "pull"
	OpLook        Op = "look" // whether an image that could not be pulled has come by another way
	OpStart       Op = "start"
	OpKill        Op = "kill"
	OpRemove      Op = "remove"
	OpStopSandbox Op = "stop sandbox"
	OpTearDown    Op = "tear down"
	OpResize      Op = "resize"
	OpForget      Op = "forget" // remove from the runtime, and from the API if it asked for it
)

// Action is one thing to do.
type Action struct {
	Op        Op
	Container string
	ID        string    // of an existing container or sandbox
	Attempt   uint32    // of the container or sandbox to be made
	Deadline  time.Time // until when a container may take to stop
	Message   string
	Note      bool // whether the message goes out as an event
	Planned   bool // the container's end is no crash of it
	Now       bool // it is killed without its hook and its grace
}

// Note is an event of a container that a decision asks for, once for each rest.
type Note struct {
	Container, Reason, Message string
}

// Plan is what to do now.
type Plan struct {
	Actions []Action
	Notes   []Note
	Waiting map[string]status.Waiting
	Stop    *Stop // newly decided
	WakeAt  time.Time
}

func (p *Plan) do(a Action) { p.Actions = append(p.Actions, a) }

func (p *Plan) wake(at time.Time) {
	if p.WakeAt.IsZero() || at.Before(p.WakeAt) {
		p.WakeAt = at
	}
}

func (p *Plan) wait(name, reason, message string) {
	p.Waiting[name] = status.Waiting{Reason: reason, Message: message}
}

package podworker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/lifecycle"
	"hyperkube/kubelet/probe"
	"hyperkube/kubelet/status"
	"hyperkube/kubelet/steps"
	"hyperkube/kubelet/volume"
)

// Deps is what workers perform their plans with.
type Deps struct {
	Client     *cri.Client
	Pod        []steps.Step
	Containers []steps.ContainerStep
	Resizer    *steps.Resizer
	Images     *images.Puller
	Volumes    *volume.Manager
	Prober     *probe.Prober
	Hooks      lifecycle.Runner
	Statuses   *status.Manager
	Recorder   kit.Recorder
	Log        *slog.Logger
	Failures   *prometheus.CounterVec // of trouble.Metric; may be nil
	LogRoot    string
	LogLinks   string // directory of the flat links to container logs; empty for none
	HostIPs    func() []string
	// Fits says whether a pod that runs may have the size it asks for beside those that are here: why not, or nothing.
	Fits func(pod *v1.Pod, here []*v1.Pod) (pending, message string)
	// DeletePod removes the API object at once, if it still has that uid.
	DeletePod func(ctx context.Context, pod *v1.Pod) error
	// Observe counts; its functions may be nil.
	Observe Observer
}

// Observer is told what workers do, for metrics.
type Observer struct {
	Started func() // a container
	Probe   func(pod *v1.Pod, container string, t probe.Type, r probe.Result)
	Booted  func(took time.Duration) // from the first sight of a pod to its first running container
}

// Worker is the life of one pod on this node.
type Worker struct {
	d    *Deps
	kick chan struct{}
	seen time.Time
	self *v1.Pod // as first seen; only names and containers are read
	// asked is the pod as its source has it, where the node has not given it the size it asks for. The manager's.
	asked *v1.Pod
	freed func() // called once, without the lock, when the pod has left the node to others

	mu      sync.Mutex
	view    View // Pod, Runtime, Stop, SetUp, Busy, Containers, Down, Gone; Now is set for each decision
	volumes map[string]volume.Mounted
	refresh time.Time // when volumes are due again
	stale   bool      // volumes must be brought up to date now
	cancels map[string]context.CancelFunc
	probes  map[string]context.CancelFunc // by container id
	words   map[string]string             // termination messages by container id
	booted  bool
	left    bool // freed was called
	panics  int  // of decisions, in a row

	stops    turns
	starts   turns
	troubles map[Op]*trouble.Teller
	wg       sync.WaitGroup
}

func newWorker(d *Deps, pod *v1.Pod, rt *cri.Pod) *Worker {
	w := &Worker{
		d: d, kick: make(chan struct{}, 1), seen: time.Now(), self: pod,
		view:    View{Pod: pod, Busy: map[string]Op{}, Containers: map[string]Container{}},
		cancels: map[string]context.CancelFunc{}, probes: map[string]context.CancelFunc{}, words: map[string]string{}, troubles: map[Op]*trouble.Teller{},
		stops: make(turns, atOnce), starts: make(turns, atOnce),
	}
	if rt != nil {
		w.view.Runtime = *rt
		for _, c := range w.view.Runtime.Containers {
			name := c.Metadata.GetName()
			if unsettled(pod, c) && w.view.Runtime.Container(name) == c {
				w.view.Containers[name] = Container{Caught: c.Id}
			}
			w.view.Containers[name] = TakeOver(w.view.Containers[name], w.view.Runtime.Container(name))
		}
	}
	return w
}

// change applies f to the view and has the worker decide anew.
func (w *Worker) change(f func()) {
	defer w.poke()
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *Worker) poke() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// run decides and performs until nothing of the pod is left or ctx ends.
func (w *Worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			w.wg.Wait()
			return
		case <-w.kick:
		case <-timer.C:
		}
		wake, gone := w.safeTurn(ctx)
		if gone {
			w.wg.Wait()
			return
		}
		timer.Stop()
		if !wake.IsZero() {
			timer.Reset(max(time.Until(wake), 0))
		}
	}
}

// safeTurn is turn for pods whose spec nobody thought of: a panic ends the attempt, and there is another one later.
func (w *Worker) safeTurn(ctx context.Context) (wake time.Time, gone bool) {
	err := supervise.Contain("the decision on a pod", func() error {
		wake, gone = w.turn(ctx)
		return nil
	})
	var p *supervise.Panic
	if errors.As(err, &p) {
		w.tellPod(v1.EventTypeWarning, "FailedSync", "error syncing pod: "+err.Error())
		w.d.Log.Error("deciding on a pod", "pod", w.name(), "err", err, "stack", string(p.Stack))
		wake = time.Now().Add(doubling(retryFirst, retryMost, w.panics))
		w.panics++
		return wake, false
	}
	w.panics = 0
	if w.leaves() && w.freed != nil {
		w.freed()
	}
	return wake, gone
}

// leaves tells, once, that the pod has nothing of the node any more.
func (w *Worker) leaves() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left || claimOf(w.view) != none {
		return false
	}
	w.left = true
	return true
}

// turn makes one decision, starts what it asks for and reports the status.
func (w *Worker) turn(ctx context.Context) (wake time.Time, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.view.Gone {
		w.endProbes(nil)
		return time.Time{}, true
	}
	w.view.Now = time.Now()
	w.syncProbes(ctx)
	plan := Decide(w.view)
	if plan.Stop != nil {
		w.view.Stop = plan.Stop
		if plan.Stop.Final.Reason == "DeadlineExceeded" {
			w.tellPod(v1.EventTypeNormal, "DeadlineExceeded", plan.Stop.Final.Message)
		}
	}
	if w.view.Stop != nil {
		w.cancelStarts()
	}
	for _, n := range plan.Notes {
		w.tell(n.Container)(v1.EventTypeWarning, n.Reason, n.Message)
	}
	Noted(w.view.Containers, plan)
	for _, a := range plan.Actions {
		w.launch(ctx, a)
	}
	w.refreshVolumes(ctx, &plan)
	w.report(ctx, plan, nil)
	return plan.WakeAt, false
}

// cancelStarts ends work that a pod which must stop has no use for.
func (w *Worker) cancelStarts() {
	for key, op := range w.view.Busy {
		switch op {
		case OpSetUp, OpPull, OpLook, OpStart:
			w.cancels[key]()
		}
	}
}

// refreshVolumes brings volumes up to date when an object they show has changed or a token is due.
func (w *Worker) refreshVolumes(ctx context.Context, plan *Plan) {
	const key = "volumes"
	if !w.view.SetUp.Done || w.view.Stop != nil || w.view.Busy[key] != "" {
		return
	}
	if !w.stale && (w.refresh.IsZero() || w.view.Now.Before(w.refresh)) {
		if !w.refresh.IsZero() {
			plan.wake(w.refresh)
		}
		return
	}
	w.stale = false
	w.launch(ctx, Action{Op: "refresh volumes", Container: key})
}

// launch performs an action on a goroutine of its own. The caller holds the lock.
func (w *Worker) launch(ctx context.Context, a Action) {
	ctx, cancel := context.WithCancel(ctx)
	w.view.Busy[a.Container], w.cancels[a.Container] = a.Op, cancel
	pod := w.view.Pod
	w.wg.Go(func() {
		var apply func()
		err := supervise.Contain("pod operation", func() (err error) {
			apply, err = w.perform(ctx, pod, a)
			return err
		})
		stopped := ctx.Err() != nil
		cancel()
		w.change(func() {
			delete(w.view.Busy, a.Container)
			delete(w.cancels, a.Container)
			applied := apply != nil
			if applied {
				if e := supervise.Contain("pod operation", func() error { apply(); return nil }); e != nil {
					err, applied = e, false
				}
			}
			w.outcome(a, err, stopped, applied)
		})
	})
}

// merge takes in what the runtime says.
func (w *Worker) merge(sb *runtimeapi.PodSandboxStatus, cs ...*runtimeapi.ContainerStatus) {
	w.view.Runtime.Merge(sb, cs...)
	for _, c := range cs {
		name := c.Metadata.GetName()
		if newest := w.view.Runtime.Container(name); newest != nil {
			w.view.Containers[name] = Remember(w.view.Containers[name], newest)
		}
	}
}

// report sends the pod's status. The caller holds the lock.
func (w *Worker) report(ctx context.Context, plan Plan, sent func()) {
	if w.view.Stop != nil && w.view.Stop.Removed {
		if sent != nil {
			sent()
		}
		return
	}
	st := w.status(plan)
	w.d.Statuses.Set(ctx, w.view.Pod, st, sent)
}

func (w *Worker) status(plan Plan) v1.PodStatus {
	in := status.Input{
		Pod: basis(w.view.Pod, w.d.Statuses.Last(w.view.Pod.UID)), Runtime: counted(w.view), Waiting: plan.Waiting,
		Probed: map[string]status.Probed{}, HostIPs: w.d.HostIPs(), Now: w.view.Now,
		SandboxReady: w.view.Runtime.ReadySandbox() != nil && w.view.SetUp.Done, Message: w.lastWords,
	}
	for name, c := range w.view.Containers {
		in.Probed[name] = c.Probe
	}
	in.Restarting = restarting(w.view)
	in.Resize = status.Resize{Pending: w.view.Resize.Pending, Message: w.view.Resize.Message, Error: w.view.Resize.Error,
		InProgress: w.view.Busy[PodKey] == OpResize || len(unsized(w.view)) > 0}
	if s := w.view.Stop; s != nil {
		in.Final = s.Final
		in.Final.Done = !anyRunning(w.view)
		if !in.Final.Done {
			in.Final.Phase = ""
		}
	}
	return status.Compute(in)
}

func anyRunning(v View) bool {
	for _, c := range v.Runtime.Containers {
		if running(c) {
			return true
		}
	}
	for _, op := range v.Busy {
		if op == OpStart || op == OpKill {
			return true
		}
	}
	return false
}

// basis is the pod with the status that was last sent, ahead of what the API has shown so far; conditions that
// others write are the API's.
func basis(pod *v1.Pod, last *v1.PodStatus) *v1.Pod {
	if last == nil {
		return pod
	}
	out := *pod
	out.Status = *last
	out.Status.Resize = pod.Status.Resize
	out.Status.NominatedNodeName = pod.Status.NominatedNodeName
	out.Status.Conditions = nil
	for _, c := range last.Conditions {
		if ours(c.Type) {
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	for _, c := range pod.Status.Conditions {
		if !ours(c.Type) {
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}
	return &out
}

func ours(t v1.PodConditionType) bool {
	switch t {
	case v1.PodReadyToStartContainers, v1.PodInitialized, v1.PodReady, v1.ContainersReady, v1.PodScheduled, v1.PodResizePending, v1.PodResizeInProgress, v1.AllContainersRestarting:
		return true
	}
	return false
}

// snapshot returns the pod and a copy of what the runtime has of it.
func (w *Worker) snapshot() (*v1.Pod, cri.Pod, *Stop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Pod, w.view.Runtime.Clone(), w.view.Stop
}

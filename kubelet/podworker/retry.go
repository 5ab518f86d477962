package podworker

import (
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// How long an action that failed is left alone: a runtime that is in trouble is not helped by being asked at once.
const (
	actFirst = 500 * time.Millisecond
	actMost  = 30 * time.Second
)

// key names an action for what is remembered of its failures.
func (a Action) key() string { return string(a.Op) + " " + a.Container + " " + a.ID }

// rest takes out of a plan what has failed a short time ago, whoever decided it.
func (p *Plan) rest(v View) {
	var ready []Action
	for _, a := range p.Actions {
		if r := v.Retry[a.key()]; v.Now.Before(r.At) {
			p.wake(r.At)
			continue
		}
		ready = append(ready, a)
	}
	p.Actions = ready
}

// failed remembers a failure.
func failed(known map[string]Retry, a Action, now time.Time) map[string]Retry {
	if known == nil {
		known = map[string]Retry{}
	}
	r := known[a.key()]
	known[a.key()] = Retry{Failures: r.Failures + 1, At: now.Add(doubling(actFirst, actMost, r.Failures))}
	return known
}

// outcome takes in how an action ended: one that failed and has not itself said when to try again rests for a while.
// The caller holds the lock.
func (w *Worker) outcome(a Action, err error, stopped, applied bool) {
	told := w.troubles[a.Op]
	var p *supervise.Panic
	switch {
	case err == nil:
		delete(w.view.Retry, a.key())
		if told != nil {
			told.Well()
		}
		return
	case stopped:
		return
	case errors.As(err, &p):
		w.tellPod(v1.EventTypeWarning, "FailedSync", "error syncing pod: "+err.Error())
		w.d.Log.Error("pod operation panicked", "pod", w.name(), "op", string(a.Op), "err", err, "stack", string(p.Stack))
	}
	switch a.Op {
	case OpKill, OpRemove, OpStopSandbox:
		applied = false
		fallthrough
	case OpTearDown, OpForget, OpResize:
		if told == nil {
			told = trouble.New(w.d.Log.With("pod", w.name()), w.d.Failures, "pod operation: "+string(a.Op))
			w.troubles[a.Op] = told
		}
		told.Failed(err, "container", a.Container)
	default:
		w.d.Log.Debug("pod operation failed", "pod", w.name(), "op", string(a.Op), "container", a.Container, "err", err)
	}
	if !applied {
		w.view.Retry = failed(w.view.Retry, a, time.Now())
	}
	w.tellKill(a, err)
}

// tellKill makes an event of what keeps a pod or a container of it from going.
func (w *Worker) tellKill(a Action, err error) {
	why := ""
	switch a.Op {
	case OpKill:
		why = fmt.Sprintf("failed to %q for %q with KillContainerError: %q", "KillContainer", a.Container, err)
	case OpRemove:
		// Of a pod that goes on: nothing is killed. What kept the container from starting is told by its status.
		return
	case OpStopSandbox:
		why = fmt.Sprintf("failed to %q for %q with KillPodSandboxError: %q", "KillPodSandbox", string(w.self.UID), err)
	case OpTearDown, OpForget:
		why = err.Error()
	default:
		return
	}
	w.tellPod(v1.EventTypeWarning, "FailedKillPod", "error killing pod: "+why)
}

func (w *Worker) name() string { return w.self.Namespace + "/" + w.self.Name }

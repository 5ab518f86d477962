// Package probe asks containers whether they are alive, ready and started.
//
//	check    one question: http, tcp, grpc or exec (check.go)
//	loop     one probe over the life of one container: delays, periods, thresholds (loop.go)
//	Run      the probes of one container: the startup probe first, then liveness and readiness side by side
//
// Nothing outlives the ctx given to Run, which is that container's life.
package probe

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Type is what a probe is for.
type Type string

// The types, as they appear in events and metrics.
const (
	Startup   Type = "Startup"
	Liveness  Type = "Liveness"
	Readiness Type = "Readiness"
)

// Result is what one check found.
type Result int

// Results. Unknown means that the check itself could not be made, Warning a success that is not all it should be.
const (
	Unknown Result = iota
	Success
	Failure
	Warning
)

// Target is one running container.
type Target struct {
	Pod       *v1.Pod
	Container *v1.Container
	ID        string
	PodIP     string
	// Started and Ready are what is known from before, when the kubelet was restarted.
	Started bool
}

// Update is a change in what a probe says of a container.
type Update struct {
	ID     string
	Type   Type
	OK     bool
	Reason string // of a failure
}

// Executor runs commands in containers.
type Executor interface {
	ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (*runtimeapi.ExecSyncResponse, error)
}

// Sink is told what probes find.
type Sink struct {
	// Changed is called when a probe's verdict changes (by its thresholds).
	Changed func(Update)
	// Failed is called for every failed check (unknown: the check could not be made).
	Failed func(t Type, unknown bool, output string)
	// Warned is called for every success with a warning; may be nil.
	Warned func(t Type, output string)
	// Counted is called for every check; may be nil.
	Counted func(t Type, r Result, took time.Duration)
}

// Prober runs probes.
type Prober struct{ Exec Executor }

// Run runs a container's probes until ctx ends. Without a startup probe the container counts as started.
func (p *Prober) Run(ctx context.Context, t Target, sink Sink) {
	c := t.Container
	if c.StartupProbe != nil && !t.Started {
		if !p.loop(ctx, t, Startup, c.StartupProbe, sink) {
			return
		}
	}
	var wg sync.WaitGroup
	if c.LivenessProbe != nil {
		wg.Go(func() { p.loop(ctx, t, Liveness, c.LivenessProbe, sink) })
	}
	if c.ReadinessProbe != nil {
		wg.Go(func() { p.loop(ctx, t, Readiness, c.ReadinessProbe, sink) })
	}
	wg.Wait()
}

// Needed tells whether a container has any probe.
func Needed(c *v1.Container) bool {
	return c.StartupProbe != nil || c.LivenessProbe != nil || c.ReadinessProbe != nil
}

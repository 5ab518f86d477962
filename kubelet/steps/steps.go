// Package steps is what is done to a pod before its containers may run and after they have stopped, and what is
// done for each container between the decision to start it and its running.
//
//	pod:        claims
//	            directories ─┬─▶ volumes ──┐
//	            cgroup ──────┴─▶ sandbox ──┴─▶ containers may start        (torn down in the opposite order)
//
//	container:  user → environment → mounts → render → logs → create → start → postStart
//
// A step is one file and one line in a list below. Steps run as early as what they come After allows.
package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/supervise"
	"hyperkube/kubelet/cgroup"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/lifecycle"
	"hyperkube/kubelet/userns"
	"hyperkube/kubelet/volume"
)

// Deps is what steps work with.
type Deps struct {
	Client      *cri.Client
	Renderer    *cri.Renderer
	Volumes     *volume.Manager
	Sources     volume.Sources
	Cgroups     *cgroup.Tree // nil where the kubelet keeps none
	Hooks       lifecycle.Runner
	Services    func(namespace string) []*v1.Service
	ContainerLn string // directory of the flat links to container logs; empty for none
	PIDsLimit   int64
	Handlers    func(ctx context.Context, runtimeClass string) (string, error)
	// Features is what a handler of the runtime can do; nothing for one that is not known, or where it is nil.
	Features func(handler string) v1.NodeRuntimeHandlerFeatures
	Users    *userns.Ranges
	// ImagesHere is closed once the images are there that sandboxes wait for; nil where none is awaited.
	ImagesHere <-chan struct{}

	places places
}

func (d *Deps) features(handler string) v1.NodeRuntimeHandlerFeatures {
	if d.Features == nil {
		return v1.NodeRuntimeHandlerFeatures{}
	}
	return d.Features(handler)
}

// Pod is one pod on its way. Steps of one set-up run at the same time: each writes only its own fields.
type Pod struct {
	API     *v1.Pod
	Attempt uint32 // of the next sandbox
	HostIPs []string
	Dead    []string // ids of sandboxes that are not ready any more
	Tell    images.Tell

	Sandbox *runtimeapi.PodSandboxStatus // ready; made by the step "sandbox" when nil
	// Told is what events have told of a sandbox; nil where nobody listens.
	Told    func(id string) *runtimeapi.PodSandboxStatus
	Volumes map[string]volume.Mounted // written by the step "volumes"
	// Unfinished is why the runtime may still be at the sandbox that was tried before; then, at this one.
	Unfinished string
}

// Step is one thing done to a pod.
type Step struct {
	Name     string
	After    []string
	SetUp    func(ctx context.Context, p *Pod) error
	TearDown func(ctx context.Context, p *Pod) error // nil where removing the pod's directory is enough
}

// All is the one list of pod steps.
func All(d *Deps) []Step {
	return []Step{
		claims(),
		directories(d),
		cgroups(d),
		volumes(d),
		sandbox(d),
	}
}

// Error says which step failed.
type Error struct {
	Step string
	Err  error
}

func (e *Error) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Told is a failure that has an event reason of its own.
type Told struct {
	Reason string
	Err    error
}

func (e *Told) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Told) Unwrap() error { return e.Err }

// SetUp runs the steps, side by side where their order allows it. It returns the first failure of each branch.
func SetUp(ctx context.Context, list []Step, p *Pod) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		done = map[string]chan struct{}{}
		ok   = map[string]bool{}
	)
	for _, s := range list {
		done[s.Name] = make(chan struct{})
	}
	for _, s := range list {
		wg.Go(func() {
			defer close(done[s.Name])
			for _, a := range s.After {
				<-done[a]
			}
			mu.Lock()
			skip := slices.ContainsFunc(s.After, func(a string) bool { return !ok[a] })
			mu.Unlock()
			if skip {
				return
			}
			err := supervise.Contain("pod step "+s.Name, func() error { return s.SetUp(ctx, p) })
			mu.Lock()
			defer mu.Unlock()
			ok[s.Name] = err == nil
			if err != nil {
				errs = append(errs, &Error{s.Name, err})
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// TearDown undoes the steps in the opposite order. A step that fails does not keep the others from trying.
func TearDown(ctx context.Context, list []Step, p *Pod) error {
	var errs []error
	for _, s := range slices.Backward(list) {
		if s.TearDown == nil {
			continue
		}
		if err := s.TearDown(ctx, p); err != nil {
			errs = append(errs, &Error{s.Name, err})
		}
	}
	return errors.Join(errs...)
}

// Container is one container on its way to running.
type Container struct {
	Pod     *Pod
	Spec    *v1.Container
	Attempt uint32
	Image   images.Image
	Target  string // id of the container that an ephemeral container looks into
	IPs     []string
	Tell    images.Tell

	status     *v1.Pod // the pod with its addresses, for the downward API
	input      cri.ContainerInput
	config     *runtimeapi.ContainerConfig
	sbox       *runtimeapi.PodSandboxConfig
	bound      []string // what is mounted for its subPaths
	leave      func()   // gives back the places that these take
	ID         string   // once created
	Unfinished string   // why the runtime may still be at the try before; then, at this one
}

// StartError is a container that did not come up.
type StartError struct {
	Reason string // for the container's status
	Err    error
	ID     string // of the container, if it was created
}

func (e *StartError) Error() string { return e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// ContainerStep is one thing done for a container.
type ContainerStep struct {
	Name string
	// Reason is what the container waits for when the step fails.
	Reason string
	Run    func(ctx context.Context, c *Container) error
}

// Containers is the one list of container steps, in order.
func Containers(d *Deps) []ContainerStep {
	return []ContainerStep{
		{"user", "CreateContainerConfigError", user},
		{"environment", "CreateContainerConfigError", environment(d)},
		{"mounts", "CreateContainerConfigError", mounts(d)},
		{"render", "CreateContainerConfigError", render(d)},
		{"logs", "CreateContainerError", logs(d)},
		{"create", "CreateContainerError", create(d)},
		{"start", "RunContainerError", start(d)},
	}
}

// Start runs a container's steps. Its errors are *StartError, and each is told as an event.
func Start(ctx context.Context, list []ContainerStep, c *Container) error {
	defer func() {
		if c.leave != nil {
			c.leave()
		}
	}()
	for _, s := range list {
		err := s.Run(ctx, c)
		if ctx.Err() != nil {
			return &StartError{Reason: s.Reason, Err: fmt.Errorf("stopped: %w", ctx.Err()), ID: c.ID}
		}
		if err != nil {
			err = plain{err}
			before := c.Unfinished
			err, c.Unfinished = unfinished(err, before)
			if before == "" && c.Unfinished == "" && status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
				c.release() // else the runtime may be at it
			}
			c.Tell(v1.EventTypeWarning, "Failed", "Error: "+err.Error())
			return &StartError{Reason: s.Reason, Err: err, ID: c.ID}
		}
	}
	c.Unfinished = ""
	c.release()
	return nil
}

// release undoes what was mounted for the subPaths of a container that has started, or never will.
func (c *Container) release() {
	volume.ReleaseSubPaths(c.bound)
	c.bound = nil
}

// unfinished is a failed call to the runtime as it is told, given what the one before left unfinished, and what it leaves
// itself. A call that took longer than anyone waits goes on in the runtime; the next about the same thing is refused
// until it ends, in words that say nothing of why.
func unfinished(err error, before string) (told error, now string) {
	words := err.Error()
	switch {
	case status.Code(err) == codes.DeadlineExceeded:
		return err, words
	case before != "" && (strings.Contains(words, "is reserved for") || strings.Contains(words, "in starting state")):
		return fmt.Errorf("%s (it is still at it: %w)", before, err), before
	}
	return err, ""
}

// plain is an error in the runtime's own words, without those of the wire.
type plain struct{ err error }

func (p plain) Error() string { return status.Convert(p.err).Message() }

func (p plain) Unwrap() error { return p.err }

package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"hyperkube/internal/supervise"
	"hyperkube/internal/sweep"
	"hyperkube/internal/trouble"
	"hyperkube/runtime/carried"
)

// A containerd that is killed while it starts a container forgets the shim it had just
// started. Nobody ends such a shim: it, and what it runs, would stay for ever.
//
//	look ─▶ shims of ours that containerd knows no container of
//	          └─ seen so by all looks for sweepAfter ─▶ ended
//
// A creation takes at most four minutes (the kubelet's limit for a sandbox).
const (
	sweepAfter  = 5 * time.Minute
	sweepEvery  = 2 * time.Minute
	lookTimeout = 30 * time.Second
	criSpace    = "k8s.io"
)

// shim is one process, told from a later one with the same number by when it started.
type shim struct {
	pid     int
	started string
	id      string // of the sandbox it was started for
}

// sweepShims looks once containerd answers, and from then on now and again.
func (r *Runtime) sweepShims(ctx context.Context) {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return
	}
	sweeper := func() *sweep.Sweeper[shim] { return &sweep.Sweeper[shim]{After: sweepAfter, Every: sweepEvery} }
	leaked, mute, teller := sweeper(), sweeper(), trouble.New(r.o.Logger, nil, "looking for shims to end")
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		err := supervise.Contain("sweeping shims", func() error { return r.sweepOnce(ctx, leaked, mute) })
		if err == nil {
			teller.Well()
		} else if ctx.Err() == nil {
			teller.Failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Runtime) sweepOnce(whole context.Context, leaked, mute *sweep.Sweeper[shim]) error {
	ctx, cancel := context.WithTimeout(whole, lookTimeout)
	defer cancel()
	// First the processes, then what containerd knows: a shim that is made in between is
	// in neither.
	running, err := shims(r.o.Config.Socket, r.o.PodCgroups)
	if err != nil {
		return err
	}
	if len(running) == 0 {
		leaked.Look(time.Now(), nil)
		mute.Look(time.Now(), nil)
		return nil
	}
	known, err := knownContainers(ctx, r.o.Config.Socket)
	if err != nil {
		return err
	}
	unknown := slices.DeleteFunc(running, func(sh shim) bool { return known[sh.id] })
	var errs []error
	for _, sh := range leaked.Look(time.Now(), unknown) {
		r.o.Logger.Warn("ending a shim that belongs to no container", "pid", sh.pid, "id", sh.id)
		errs = append(errs, sh.end())
	}
	ctx, cancelAsking := context.WithTimeout(whole, sweepEvery/2)
	defer cancelAsking()
	silent, err := silentShims(ctx, r.o.Config.Socket, running)
	if err != nil || ctx.Err() != nil { // then nobody had the time to answer
		return errors.Join(append(errs, err, ctx.Err())...)
	}
	for _, sh := range mute.Look(time.Now(), silent) {
		r.o.Logger.Warn("ending a shim that says nothing of a container", "pid", sh.pid, "container", sh.id)
		errs = append(errs, sh.end())
	}
	return errors.Join(errs...)
}

// containersOf lists the containers of the containerd at socket, in the namespace of ctx. The
// client is for further questions and the caller's to close.
func containersOf(ctx context.Context, socket string) (*containerd.Client, []containers.Container, error) {
	c, err := containerd.New(socket, containerd.WithDefaultNamespace(criSpace))
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to containerd: %w", err)
	}
	list, err := c.ContainerService().List(ctx)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listing containers: %w", err), c.Close())
	}
	return c, list, nil
}

// knownContainers are the containers of pods and the sandboxes they are in.
func knownContainers(ctx context.Context, socket string) (map[string]bool, error) {
	ctx = namespaces.WithNamespace(ctx, criSpace)
	c, list, err := containersOf(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	boxes, err := c.SandboxStore().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing sandboxes: %w", err)
	}
	known := map[string]bool{}
	for _, one := range list {
		known[one.ID], known[one.SandboxID] = true, true
	}
	for _, b := range boxes {
		known[b.ID] = true
	}
	return known, nil
}

// shims are the processes that serve pods of the containerd at socket; what runs in the
// cgroups below pods is none.
func shims(socket, pods string) ([]shim, error) {
	running, err := HostProcesses(pods, func(args []string) bool {
		_, ok := shimID(args, socket)
		return ok
	})
	if err != nil {
		return nil, err
	}
	var out []shim
	for _, p := range running {
		id, _ := shimID(p.Args, socket)
		if !SameFolder(p.PID, filepath.Dir(socket)) {
			continue
		}
		if started, _, err := procStat(p.PID); err == nil {
			out = append(out, shim{p.PID, started, id})
		}
	}
	return out, nil
}

// shimID reads a shim's command line; those of others, and the short-lived calls of the
// shim's program that start or delete, are not meant.
func shimID(args []string, socket string) (string, bool) {
	if filepath.Base(args[0]) != carried.Shim {
		return "", false
	}
	flags := map[string]string{}
	for i := 1; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			return "", false // a command
		}
		if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			flags[strings.TrimPrefix(name, "-")] = args[i+1]
			i++
		}
	}
	return flags["id"], flags["id"] != "" && flags["address"] == socket && flags["namespace"] == criSpace
}

// procStat is when a process started, in the kernel's ticks, and who its parent is.
func procStat(pid int) (started string, parent int, err error) {
	w, err := statWords(pid)
	if err != nil {
		return "", 0, err
	}
	if len(w) < 20 {
		return "", 0, fmt.Errorf("reading process %d: %q", pid, w)
	}
	parent, err = strconv.Atoi(w[1])
	return w[19], parent, err
}

// end kills the shim and what it is the parent of, unless it is another by now.
func (s shim) end() error {
	if started, _, err := procStat(s.pid); err != nil || started != s.started {
		return nil
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("reading processes: %w", err)
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if _, parent, err := procStat(pid); err == nil && parent == s.pid {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("ending process %d of shim %d: %w", pid, s.pid, err)
			}
		}
	}
	if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending shim %d: %w", s.pid, err)
	}
	return nil
}

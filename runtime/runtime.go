// Package runtime is the container runtime of a node: containerd, linked into
// this binary and run as a child process of it (the `containerd` role).
//
//	hyperkube up ── Runtime.Run ──▶ child: hyperkube containerd --config …
//	                    │                └─▶ containerd-shim-runc-v2 ─▶ runc ─▶ containers
//	                    └── restarts it when it dies; shims and containers live on
//
// Contract: New prepares files and never starts anything. Run starts the child,
// waits for its socket, closes Ready, and keeps it running until ctx ends; then
// it stops the child and returns when it is gone. Containers are never touched
// by either: their shims are their parents. A child of an earlier run that was
// killed with -9 is ended first, by its command line. A root that is damaged is set aside, as it
// holds nothing that cannot be had again. Before containerd first answers its end is an error
// of Run; afterwards it is started again within a second. Beside it Run sweeps shims that no
// container belongs to.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"hyperkube/internal/regular"
	"hyperkube/runtime/carried"
)

// Options of a Runtime. Config.Libexec is filled in from the carried programs.
type Options struct {
	Config     Config
	ConfigPath string   // where config.toml is written
	LibexecDir string   // where carried programs are unpacked
	PIDFile    string   // of the child
	LogFile    string   // the child's output
	PodCgroups string   // the cgroup that all pods are below
	PodLogs    string   // where their logs are, in folders that bear their names
	Command    []string // how the role is started, e.g. [/proc/self/exe containerd]
	Env        []string // added to the child's environment
	Logger     *slog.Logger
	Tell       func(string) // what a person at the start should know; nil for nobody
}

// Runtime supervises containerd.
type Runtime struct {
	o     Options
	ready chan struct{}
	limit time.Duration // of a start
}

// New unpacks what containerd execs and writes its configuration.
func New(o Options) (*Runtime, error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	dir, err := carried.Unpack(o.LibexecDir)
	if err != nil {
		return nil, err
	}
	o.Config.Libexec = dir
	if o.Config.CNIBinDir == "" {
		o.Config.CNIBinDir = dir
	}
	for _, d := range []string{filepath.Dir(o.Config.Socket), o.Config.CNIConfDir, filepath.Dir(o.LogFile), filepath.Dir(o.PIDFile)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("preparing the container runtime: %w", err)
		}
	}
	if err := WriteConfig(o.Config, o.ConfigPath); err != nil {
		return nil, err
	}
	return &Runtime{o: o, ready: make(chan struct{}), limit: startTimeout}, nil
}

// Ready is closed when the socket first answers.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

const (
	stopTimeout = 5 * time.Second
	// startTimeout bounds a start: containerd gives each shim that hangs seconds of its own,
	// and slow disks take their time.
	startTimeout = 2 * time.Minute
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
)

// Run keeps containerd running until ctx ends.
func (r *Runtime) Run(ctx context.Context) error {
	if err := r.endPredecessor(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { r.sweepShims(ctx) })
	r.tellAsides()
	backoff, tries := firstBackoff, 0
	for ctx.Err() == nil {
		began := time.Now()
		err := r.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		tries++
		switch {
		case r.answered():
		case !instanceLeft() && tries < instanceTries: // the next one who holds them may be ended
		case errors.Is(err, errNoInstance):
			return fmt.Errorf("containerd cannot start: %w", err)
		default:
			return fmt.Errorf("containerd cannot start: %w (what it has in %s are images and what containers wrote into themselves: if that is damaged, move it away, "+
				"start again, and import again the images that come from no registry)", err, r.o.Config.Root)
		}
		if time.Since(began) > time.Minute {
			backoff = firstBackoff
		}
		r.o.Logger.Error("containerd ended, starting it again", "err", err, "in", backoff, "log", r.o.LogFile)
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
	return nil
}

// answered reports whether containerd ever did.
func (r *Runtime) answered() bool {
	select {
	case <-r.ready:
		return true
	default:
		return false
	}
}

func (r *Runtime) runOnce(ctx context.Context) error {
	if err := r.renew(); err != nil {
		return err
	}
	if err := r.needInstance(ctx); err != nil {
		return err
	}
	out, err := regular.OpenFile(r.o.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening containerd's log: %w", err)
	}
	defer out.Close()
	from, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("opening containerd's log: %w", err)
	}
	cmd := exec.CommandContext(ctx, r.o.Command[0], slices.Concat(r.o.Command[1:], []string{"--config", r.o.ConfigPath, "--log-file", r.o.LogFile})...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), r.o.Env...)
	// Its own session: a ^C at the terminal must not reach it before we end it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	if err := regular.WriteFile(r.o.PIDFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return errors.Join(fmt.Errorf("writing containerd's pid: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	if err := r.awaitSocket(ctx, cmd.Process, exited); err != nil {
		if said := lastSaid(r.o.LogFile, from); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return err
	}
	if !r.answered() {
		close(r.ready)
	}
	err = <-exited
	os.Remove(r.o.PIDFile)
	return err
}

// awaitSocket returns when the socket accepts, or with an error when the child is gone; one
// that takes too long is ended.
func (r *Runtime) awaitSocket(ctx context.Context, child *os.Process, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", r.o.Config.Socket); err == nil {
			return c.Close()
		}
		select {
		case err := <-exited:
			return fmt.Errorf("containerd ended while starting (see %s): %w", r.o.LogFile, err)
		case <-ctx.Done():
			child.Kill() // it has told nobody that it serves
			<-exited
			return fmt.Errorf("waiting for containerd's socket %s (see %s): %w", r.o.Config.Socket, r.o.LogFile, ctx.Err())
		case <-tick.C:
		}
	}
}

// endPredecessor stops a containerd that a killed hyperkube left behind.
func (r *Runtime) endPredecessor(ctx context.Context) error {
	if err := EndAll(ctx, r.o.ConfigPath); err != nil {
		return err
	}
	if err := os.Remove(r.o.PIDFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing containerd's pid: %w", err)
	}
	return nil
}

// EndAll stops every containerd that was started with a configuration, whether or not its pid
// is noted anywhere.
func EndAll(ctx context.Context, configPath string) error {
	return eachProcess(func(pid int, args []string) error {
		if !runsWith(args, configPath) {
			return nil
		}
		return EndProcess(ctx, pid, stopTimeout)
	})
}

// runsWith tells by its command line whether a process is a containerd of ours with a
// configuration.
func runsWith(args []string, configPath string) bool {
	i := slices.Index(args, "--config")
	return i > 0 && i+1 < len(args) && args[i+1] == configPath &&
		(slices.Contains(args[i+2:], "--log-file") || slices.Contains(args[:i], "containerd")) // versions before had no log of its own
}

// EndProcess sends SIGTERM and, after grace, SIGKILL to a process that need not
// be a child, and returns when it is gone.
func EndProcess(ctx context.Context, pid int, grace time.Duration) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return nil // gone already
	}
	kill := time.NewTimer(grace)
	defer kill.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.Signal(syscall.Signal(0)) == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to end: %w", pid, ctx.Err())
		case <-kill.C:
			p.Signal(syscall.SIGKILL)
		case <-tick.C:
		}
	}
	return nil
}

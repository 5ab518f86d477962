package cluster

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hyperkube/internal/regular"
	"hyperkube/runtime/carried"
)

const (
	upTimeout   = 3 * time.Minute
	downTimeout = 30 * time.Second
	// A cluster that says it is ready is asked, for so long at a time and in all, whether it is.
	answerSoon = time.Second
	answerLate = 5 * time.Second
	// Lines by which the daemon tells its starter more than what to print: the API and the
	// node are there, and all is.
	servingLine = "serving"
	readyLine   = "ready"
	// waitMark leads what is waited for, which explains a start that takes too long.
	waitMark = "  waiting: "
)

// Daemon starts the cluster in a process of its own and returns when it serves.
// What the stages print appears on out; what goes wrong is returned.
//
//	up ── keeper ── the cluster's process
//
// The keeper starts the process again when it dies. Of two that start the same cluster
// one waits for the other.
func Daemon(ctx context.Context, o Options, out io.Writer) error {
	if err := errors.Join(needRoot(), o.Settle()); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, upTimeout, errSlow)
	defer cancel()
	p := PathsOf(o.DataDir)
	for {
		l, err := o.take(p)
		if err == nil {
			defer l.Close()
			return startDaemon(ctx, o, p, l, out)
		}
		if !errors.Is(err, ErrRunning) {
			return err
		}
		if serves, err := awaitOther(ctx, p, out); err != nil || serves {
			return err
		}
	}
}

var errInterrupted = errors.New("the start was interrupted, and what had begun was ended: `hyperkube up` begins anew, `hyperkube reset` removes what is there")

var errSlow = errors.New("it takes too long")

// take locks the data directory for a start, when nothing speaks against one.
func (o *Options) take(p Paths) (*os.File, error) {
	if busy, err := held(p.Lock); busy || err != nil {
		return nil, errors.Join(err, ErrRunning)
	}
	if err := o.Preflight(); err != nil {
		// The ports may be taken by a start that was a moment quicker.
		if busy, _ := held(p.Lock); busy {
			return nil, ErrRunning
		}
		return nil, err
	}
	l, _, err := enter(o.DataDir)
	return l, err
}

// awaitOther waits for the process that has the lock: until the cluster serves, or until the
// lock is free again.
func awaitOther(ctx context.Context, p Paths, out io.Writer) (serves bool, err error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	waits := ""
	var silent time.Time // since when one that is ready does not answer
	for first := true; ; first = false {
		busy, err := held(p.Lock)
		if err != nil || !busy {
			return false, err
		}
		// Versions before neither named the lock's holder nor said when they are ready.
		lock, err := os.Stat(p.Lock)
		if named(p.Ready, p.Lock) != 0 || isReady(p.Lock) || named(p.PID, p.Lock) != 0 && err == nil && lock.Size() == 0 {
			// One that was just killed holds its locks for a moment still.
			once, cancel := context.WithTimeout(ctx, answerSoon)
			_, _, err := answers(once, p.Kubeconfig)
			cancel()
			if silent.IsZero() {
				silent = time.Now()
			}
			var unheard *url.Error
			if !errors.As(err, &unheard) || time.Since(silent) > answerLate {
				fmt.Fprintf(out, "The cluster is up already (kubeconfig %s).\n", p.Kubeconfig)
				if err != nil {
					fmt.Fprintf(out, "It does not answer now (%v): see `hyperkube status`.\n", err)
				}
				if !kept(p) {
					fmt.Fprintln(out, unkept)
				}
				return true, nil
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			if all := owners(p.Lock); running(all) != 0 {
				return false, fmt.Errorf("the cluster runs (process %d), but its lock %s was removed: end it with `hyperkube down`, then start it again", running(all), p.Lock)
			}
		}
		if first {
			fmt.Fprintln(out, "The cluster is being started already: waiting until it is ready.")
		}
		if b, err := regular.ReadFile(p.Waiting); err == nil && string(b) != waits {
			waits = string(b)
			fmt.Fprintln(out, waitMark+waits)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, fmt.Errorf("another process starts the cluster, and it is not ready: %w: %s (log: %s)", context.Cause(ctx), cmp.Or(waits, "see the log"), p.Log)
		}
	}
}

func startDaemon(ctx context.Context, o Options, p Paths, l *os.File, out io.Writer) error {
	began := time.Now()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	defer r.Close()
	from := logEnd(p.Log)
	cmd, err := o.keeper(p, l, w)
	if err == nil && ctx.Err() != nil {
		err = errInterrupted
		if errors.Is(context.Cause(ctx), errSlow) {
			err = errSlow
		}
	}
	if err == nil {
		err = cmd.Start()
	}
	w.Close()
	if cmd != nil {
		cmd.Stderr.(*os.File).Close()
		cmd.ExtraFiles[1].Close()
	}
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	if err := nameHolder(l, cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	}
	s := &starter{said: make(chan string), left: make(chan struct{})}
	defer close(s.left)
	go s.listen(r, out)
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	serving := false
	for {
		select {
		case line, more := <-s.said:
			switch {
			case !more:
				return fmt.Errorf("the cluster did not start: %s (log: %s)", whyEnded(p.Log, from, <-exited), p.Log)
			case line == servingLine:
				serving = true
			case line == readyLine:
				fmt.Fprintf(out, "The cluster is up after %.1fs.\n\nStock kubectl:  export KUBECONFIG=%s\nOr:             hyperkube kubectl get nodes\n", time.Since(began).Seconds(), p.Kubeconfig)
				return nil
			default:
				s.waits = line
			}
		case <-ctx.Done():
			return s.giveUp(ctx, cmd, exited, serving, p)
		}
	}
}

// starter follows a daemon while it starts.
type starter struct {
	said  chan string // lines that are not only to be printed; closed when there are no more
	left  chan struct{}
	waits string // what is waited for, in its own words
}

// listen prints the stages.
func (s *starter) listen(r io.Reader, out io.Writer) {
	defer close(s.said)
	for in := bufio.NewScanner(r); in.Scan(); {
		line := in.Text()
		if line != readyLine && line != servingLine {
			fmt.Fprintln(out, line)
			var waits bool
			if line, waits = strings.CutPrefix(line, waitMark); !waits {
				continue
			}
		}
		select {
		case s.said <- line:
		case <-s.left:
			return
		}
	}
}

// giveUp ends a start that was interrupted or takes too long. A cluster that serves is left
// running: what it waits for may still come, and can be looked at.
func (s *starter) giveUp(ctx context.Context, cmd *exec.Cmd, exited <-chan error, serving bool, p Paths) error {
	slow := errors.Is(context.Cause(ctx), errSlow)
	if slow && serving {
		return fmt.Errorf("the cluster runs, but is not complete after %s: %s; it goes on trying: see `hyperkube status` and %s", upTimeout, s.waits, p.Log)
	}
	err := cmd.Process.Signal(syscall.SIGTERM)
	<-exited // the keeper ends what does not end by itself
	if !slow {
		return errors.Join(errInterrupted, err)
	}
	if s.waits != "" {
		return fmt.Errorf("the cluster was not ready after %s: %s (log: %s)", upTimeout, s.waits, p.Log)
	}
	return fmt.Errorf("the cluster was not ready after %s; what it waits for stands in %s", upTimeout, p.Log)
}

// keeper is the command that runs the cluster's process and starts it again when it dies.
func (o Options) keeper(p Paths, l *os.File, out *os.File) (*exec.Cmd, error) {
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o700); err != nil {
		return nil, fmt.Errorf("making the log directory: %w", err)
	}
	keep, err := carried.Place(p.Libexec, carried.Keep)
	if err != nil {
		return nil, err
	}
	cmd, err := keeperOf(p, keep, l, append([]string{p.Log, "hyperkube", "up", "--foreground", "--kept", "--lock-fd=3"}, o.onceOnly().flags()...))
	if err != nil {
		return nil, err
	}
	cmd.Stdout = out
	return cmd, nil
}

// keeperOf is a keeper with the files that every one has: the lock, the program, the log.
func keeperOf(p Paths, keep string, l *os.File, args []string) (*exec.Cmd, error) {
	// The open file, not its name: it may be replaced while the cluster runs.
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	log, err := regular.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		program.Close()
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	cmd := exec.Command(keep, args...)
	cmd.Args[0] = carried.Keep
	cmd.ExtraFiles = []*os.File{l, program}
	cmd.Stderr = log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

// serves tells the keeper that from now on it is to start this process again.
func (o Options) serves(p Paths) error {
	keeper := os.Getppid()
	if !o.Kept || keeping(p) != keeper {
		return nil
	}
	if err := syscall.Kill(keeper, syscall.SIGUSR1); err != nil {
		return fmt.Errorf("telling the keeper: %w", err)
	}
	return nil
}

// flags are the command line that gives another process the same options.
func (o Options) flags() []string {
	f := []string{
		"--data-dir", o.DataDir, "--node-name", o.NodeName, "--node-ip", o.NodeIP, "--bind-address", o.BindAddress,
		"--port", strconv.Itoa(o.APIPort), "--kubelet-port", strconv.Itoa(o.KubeletPort), "--proxy-port", strconv.Itoa(o.ProxyPort),
		"--metrics-port", strconv.Itoa(o.MetricsPort), "--pod-cidr", o.PodCIDR, "--service-cidr", o.ServiceCIDR,
		"--cluster-domain", o.ClusterDomain, "--node-ports", o.NodePorts, "--bridge", o.Bridge, "--log-level", o.LogLevel,
	}
	if len(o.EtcdServers) > 0 {
		f = append(f, "--etcd-servers", strings.Join(o.EtcdServers, ","))
	}
	if len(o.ExtraSANs) > 0 {
		f = append(f, "--cert-san", strings.Join(o.ExtraSANs, ","))
	}
	for _, b := range []struct {
		flag string
		set  bool
	}{
		{"--ephemeral", o.Ephemeral}, {"--start-empty", o.StartEmpty}, {"--new-ca", o.NewCA},
		{"--new-service-account-key", o.NewServiceAccountKey}, {"--new-encryption-key", o.NewEncryptionKey},
	} {
		if b.set {
			f = append(f, b.flag)
		}
	}
	if o.Once != "" {
		f = append(f, "--once", o.Once)
	}
	return f
}

// Down stops the cluster's processes and reports whether it ran. Containers go on.
func Down(ctx context.Context, dataDir string) (bool, error) {
	dir, err := ResolveDataDir(dataDir)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*downTimeout+5*time.Second)
	defer cancel()
	p := PathsOf(dir)
	for ran := false; ; ran = true {
		pid, err := holder(ctx, p)
		if err != nil || pid == 0 {
			return ran, err
		}
		if err := release(ctx, p, pid); err != nil {
			return true, err
		}
	}
}

// release ends a process, by force when it takes its time, and returns when the lock is
// free or somebody else's.
func release(ctx context.Context, p Paths, pid int) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending process %d: %w", pid, err)
	}
	kill := time.NewTimer(downTimeout)
	defer kill.Stop()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		busy, err := held(p.Lock)
		if err != nil || !busy {
			return err
		}
		if now, err := holder(ctx, p); err != nil || now != pid {
			return err
		}
		select {
		case <-kill.C:
			syscall.Kill(pid, syscall.SIGKILL) // it holds the lock still, as was seen just now
			for _, o := range owners(p.Lock) {
				if o.keeps() || o.runs() {
					syscall.Kill(o.pid, syscall.SIGKILL)
				}
			}
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to end: %w", pid, ctx.Err())
		}
	}
}

// runningPID is the cluster's process, 0 when none runs; busy says that one is being
// started, or started again.
func runningPID(p Paths) (pid int, busy bool, err error) {
	if busy, err = held(p.Lock); err != nil || !busy {
		return 0, false, err
	}
	if pid = named(p.PID, p.Lock); pid == 0 { // the file is lost, or not there yet
		pid = running(owners(p.Lock))
	}
	return pid, true, nil
}

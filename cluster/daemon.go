package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hyperkube/runtime"
)

const (
	upTimeout   = 3 * time.Minute
	downTimeout = 30 * time.Second
	// readyLine ends the stages that the daemon tells its starter.
	readyLine = "ready"
)

// Daemon starts the cluster in a process of its own and returns when it serves.
// What the stages print appears on out; what goes wrong is returned.
func Daemon(ctx context.Context, o Options, out io.Writer) error {
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	p := PathsOf(o.DataDir)
	l, err := lock(p.Lock)
	if errors.Is(err, ErrRunning) {
		if have, err := ReadIdentity(o.DataDir); err == nil {
			if err := o.agrees(have); err != nil {
				return err
			}
		}
		fmt.Fprintf(out, "The cluster is up already (kubeconfig %s).\n", p.Kubeconfig)
		return nil
	}
	if err != nil {
		return err
	}
	l.Close() // the daemon takes it again
	if err := o.Preflight(); err != nil {
		return err
	}
	return startDaemon(ctx, o, p, out)
}

func startDaemon(ctx context.Context, o Options, p Paths, out io.Writer) error {
	began := time.Now()
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o700); err != nil {
		return fmt.Errorf("making the log directory: %w", err)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	defer r.Close()
	args := append([]string{"up", "--foreground"}, o.flags()...)
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "hyperkube"
	cmd.Stderr = log
	cmd.Stdout = w
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	served := make(chan bool, 1)
	go func() { served <- relay(r, out) }()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	timer := time.NewTimer(upTimeout)
	defer timer.Stop()
	select {
	case ok := <-served:
		if ok {
			fmt.Fprintf(out, "The cluster is up after %.1fs.\n\nStock kubectl:  export KUBECONFIG=%s\nOr:             hyperkube kubectl get nodes\n", time.Since(began).Seconds(), p.Kubeconfig)
			return nil
		}
		<-exited
		return fmt.Errorf("the cluster did not start: %s (log: %s)", lastError(p.Log), p.Log)
	case <-ctx.Done():
		cmd.Process.Signal(syscall.SIGTERM)
		return ctx.Err()
	case <-timer.C:
		cmd.Process.Signal(syscall.SIGTERM)
		return fmt.Errorf("the cluster was not ready after %s; what it waits for stands in %s", upTimeout, p.Log)
	}
}

// relay copies stages until the ready line and reports whether it came.
func relay(r io.Reader, out io.Writer) bool {
	for in := bufio.NewScanner(r); in.Scan(); {
		if in.Text() == readyLine {
			return true
		}
		fmt.Fprintln(out, in.Text())
	}
	return false
}

// lastError is what the daemon said last before it ended.
func lastError(log string) string {
	b, err := os.ReadFile(log)
	if err != nil {
		return "its log cannot be read"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := len(lines) - 1; i >= 0 && i > len(lines)-200; i-- {
		if msg, ok := strings.CutPrefix(lines[i], "hyperkube: "); ok {
			return msg
		}
	}
	return lines[len(lines)-1]
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
	if o.Ephemeral {
		f = append(f, "--ephemeral")
	}
	return f
}

// Down stops the cluster's processes and reports whether it ran. Containers go on.
func Down(ctx context.Context, dataDir string) (bool, error) {
	pid, err := runningPID(dataDir)
	if err != nil || pid == 0 {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout+5*time.Second)
	defer cancel()
	return true, runtime.EndProcess(ctx, pid, downTimeout)
}

// runningPID is the cluster's process, 0 when none holds the lock.
func runningPID(dataDir string) (int, error) {
	p := PathsOf(dataDir)
	if _, err := os.Stat(p.Lock); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	l, err := lock(p.Lock)
	if err == nil {
		return 0, l.Close()
	}
	if !errors.Is(err, ErrRunning) {
		return 0, err
	}
	b, err := os.ReadFile(p.PID)
	if err != nil {
		return 0, fmt.Errorf("the cluster runs but its process is not known: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", p.PID, err)
	}
	return pid, nil
}

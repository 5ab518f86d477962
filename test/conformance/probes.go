package conformance

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// probes of containers. A behaviour that shows that nothing happens watches for quietSpan,
// many periods of its probe.
func probes() []behaviour {
	exec := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"cat", "/tmp/health"}}}
	tcp := corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: portNumber(8080)}}
	grpc := corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8083}}
	wrong := corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8084}}
	return []behaviour{
		{name: "Pod liveness probe, using http endpoint, failure", run: staysAlive(httpGet("/"))},
		{name: "Pod liveness probe, using tcp socket, no restart", run: staysAlive(tcp, "-fail-after", "1s")},
		{name: "Pod liveness probe, using grpc call, success", run: staysAlive(grpc, "-grpc", ":8083")},
		{name: "Pod liveness probe, using local file, no restart", run: fileLiveness(exec, false)},
		{name: "Pod liveness probe, using local file, restart", run: fileLiveness(exec, true)},
		{name: "Pod liveness probe, using http endpoint, restart", run: restarts(1, httpGet("/healthz"), "-fail-after", "3s")},
		{name: "Pod liveness probe, using grpc call, failure", run: restarts(1, wrong, "-grpc", ":8083")},
		{name: "Pod liveness probe, using http endpoint, multiple restarts (slow)", run: restarts(3, httpGet("/healthz"), "-fail-after", "1s")},
		{name: "Pod readiness probe, with initial delay", run: readyAfterDelay},
		{name: "Pod readiness probe, failure", run: neverReady},
	}
}

const quietSpan = 6 * time.Second

func probed(f *fixture, name string, h corev1.ProbeHandler, flags []string) *corev1.Pod {
	p := f.server(name, withArgs(append([]string{"serve"}, flags...)...))
	p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: h, InitialDelaySeconds: 1, PeriodSeconds: 1, FailureThreshold: 1}
	return p
}

// quiet fails if the pod's container is restarted within the span.
func quiet(f *fixture, name string) {
	f.holds(quietSpan, "restarts of "+name, func() error {
		p, err := f.pods().Get(f.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(p.Status.ContainerStatuses[0].RestartCount == 0, "%s", podState(p))
	})
}

func staysAlive(h corev1.ProbeHandler, flags ...string) func(*fixture) {
	return func(f *fixture) {
		f.start(probed(f, "alive", h, flags))
		quiet(f, "alive")
	}
}

// restarts waits for so many restarts; the count never goes down.
func restarts(count int32, h corev1.ProbeHandler, flags ...string) func(*fixture) {
	return func(f *fixture) {
		f.create(probed(f, "failing", h, flags))
		var last int32
		f.within(3*time.Minute, fmt.Sprintf("%d restarts", count), func() error {
			p, err := f.pods().Get(f.ctx, "failing", metav1.GetOptions{})
			if err != nil || len(p.Status.ContainerStatuses) == 0 {
				return errUnless(false, "no status yet: %v", err)
			}
			n := p.Status.ContainerStatuses[0].RestartCount
			f.expect(n >= last, "the restart count went from %d to %d", last, n)
			last = n
			return errUnless(n >= count, "%d restarts", n)
		})
	}
}

func fileLiveness(h corev1.ProbeHandler, vanishes bool) func(*fixture) {
	return func(f *fixture) {
		script := "echo ok > /tmp/health; "
		if vanishes {
			script += "sleep 3; rm /tmp/health; "
		}
		p := f.shell("file", script+"exec sleep 1000")
		p.Spec.RestartPolicy = corev1.RestartPolicyAlways
		p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: h, InitialDelaySeconds: 1, PeriodSeconds: 1, FailureThreshold: 1}
		f.create(p)
		if !vanishes {
			f.awaitPod("file", "ready", podReady)
			quiet(f, "file")
			return
		}
		f.awaitPod("file", "restarts", func(p *corev1.Pod) bool {
			return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount == 1
		})
	}
}

// readyAfterDelay: ready no sooner than the delay after the container's start.
func readyAfterDelay(f *fixture) {
	const delay = 5
	p := f.server("slow")
	p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: httpGet("/readyz"), InitialDelaySeconds: delay, PeriodSeconds: 1}
	p = f.start(p)
	var ready metav1.Time
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			ready = c.LastTransitionTime
		}
	}
	running := p.Status.ContainerStatuses[0].State.Running
	f.expect(running != nil, "the container does not run: %s", podState(p))
	took := ready.Sub(running.StartedAt.Time)
	// Both times are cut to seconds.
	f.expect(took >= (delay-1)*time.Second, "ready after %s, want %ds", took, delay)
	f.expect(p.Status.ContainerStatuses[0].RestartCount == 0, "it was restarted: %s", podState(p))
}

func neverReady(f *fixture) {
	p := f.sleeper("unready")
	p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/false"}}}, PeriodSeconds: 1}
	f.create(p)
	f.awaitPod("unready", "runs", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	f.holds(quietSpan, "the pod stays unready", func() error {
		p, err := f.pods().Get(f.ctx, "unready", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return errUnless(!podReady(p) && p.Status.ContainerStatuses[0].RestartCount == 0, "%s", podState(p))
	})
}

package conformance

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lifecycle: hooks, init containers, ends and restarts of containers.
func lifecycle() []behaviour {
	return []behaviour{
		{name: "Pod Lifecycle, post start exec hook", run: hook(true, false)},
		{name: "Pod Lifecycle, post start http hook", run: hook(true, true)},
		{name: "Pod Lifecycle, prestop exec hook", run: hook(false, false)},
		{name: "Pod Lifecycle, prestop http hook", run: hook(false, true)},
		{name: "Pods, prestop hook", run: hook(false, true)},
		{name: "Container Runtime, TerminationMessage, from log output of succeeding container", run: termination{script: "echo DONE", policy: corev1.TerminationMessageFallbackToLogsOnError, reason: "Completed"}.told},
		{name: "Container Runtime, TerminationMessage, from file of succeeding container", run: termination{script: "echo log; printf OK > /dev/termination-log", policy: corev1.TerminationMessageFallbackToLogsOnError, reason: "Completed", want: "OK"}.told},
		{name: "Container Runtime, TerminationMessage, from container's log output of failing container", run: termination{script: "printf DONE; exit 1", policy: corev1.TerminationMessageFallbackToLogsOnError, reason: "Error", want: "DONE"}.told},
		{name: "Container Runtime, TerminationMessagePath, non-root user and non-default path", run: termination{script: "printf DONE > /dev/own-log", path: "/dev/own-log", user: 1000, reason: "Completed", want: "DONE"}.told},
		{name: "Container Runtime, Restart Policy, Pod Phases", run: restartPolicies},
		{name: "init-container-starts-app-restartnever-pod", run: initThenApp(corev1.RestartPolicyNever)},
		{name: "init-container-starts-app-restartalways-pod", run: initThenApp(corev1.RestartPolicyAlways)},
		{name: "init-container-fails-stops-app-restartnever-pod", run: initFails(corev1.RestartPolicyNever)},
		{name: "init-container-fails-stops-app-restartalways-pod", run: initFails(corev1.RestartPolicyAlways)},
		{name: "Ephemeral Container Creation", run: ephemeral(1)},
		{name: "Ephemeral Container, update ephemeral containers", run: ephemeral(2)},
	}
}

// hook: a server pod learns that the hook of another ran.
func hook(start, http bool) func(*fixture) {
	return func(f *fixture) {
		server := f.server("server", withArgs("serve", "-unready"))
		server.Spec.Containers[0].ReadinessProbe = nil
		server = f.start(server)
		p := f.sleeper("hooked")
		h := &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/nettool", "dial", fmt.Sprintf("http://%s:8080/ready?from=hook", server.Status.PodIP)}}}
		if http {
			h = &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Host: server.Status.PodIP, Port: portNumber(8080), Path: "/ready"}}
		}
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: h}
		if start {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: h}
		}
		p.Spec.TerminationGracePeriodSeconds = to[int64](15)
		f.start(p)
		called := func() error { _, err := f.viaPod("server", "readyz"); return err }
		if start {
			f.eventually("the hook after start was called", called)
			return
		}
		f.expect(called() != nil, "the hook before the stop was called too early")
		check(f.pods().Delete(f.ctx, "hooked", metav1.DeleteOptions{}))
		f.eventually("the pod is gone", func() error {
			_, err := f.pods().Get(f.ctx, "hooked", metav1.GetOptions{})
			return gone(err)
		})
		check(called())
	}
}

type termination struct {
	script, path, reason, want string
	policy                     corev1.TerminationMessagePolicy
	user                       int64
}

func (t termination) told(f *fixture) {
	p := f.shell("ends", t.script)
	c := &p.Spec.Containers[0]
	c.TerminationMessagePath, c.TerminationMessagePolicy = t.path, t.policy
	if t.user != 0 {
		withUser(t.user)(p)
	}
	f.create(p)
	end := f.awaitPod("ends", "ends", podEnded).Status.ContainerStatuses[0].State.Terminated
	f.expect(end != nil, "the container's status does not tell its end")
	f.expect(end.Message == t.want && end.Reason == t.reason, "message %q, reason %s; want %q, %s", end.Message, end.Reason, t.want, t.reason)
}

// restartPolicies: a container that fails once and then succeeds, under each policy.
func restartPolicies(f *fixture) {
	const script = "n=$(cat /count/n 2>/dev/null); n=$((n+1)); echo $n > /count/n; if [ $n -lt 3 ]; then exit 1; fi; "
	for policy, x := range map[corev1.RestartPolicy]struct {
		end      string
		phase    corev1.PodPhase
		restarts int32
		ready    bool
	}{
		corev1.RestartPolicyAlways:    {"exec sleep 1000", corev1.PodRunning, 2, true},
		corev1.RestartPolicyOnFailure: {"exit 0", corev1.PodSucceeded, 2, false},
		corev1.RestartPolicyNever:     {"exit 1", corev1.PodFailed, 0, false},
	} {
		name := "restart-" + strings.ToLower(string(policy))
		p := f.shell(name, script+x.end, withVolume("count", "/count", emptyDir(false)))
		p.Spec.RestartPolicy = policy
		f.create(p)
		f.awaitPod(name, "settles", func(p *corev1.Pod) bool {
			if len(p.Status.ContainerStatuses) != 1 {
				return false
			}
			c := p.Status.ContainerStatuses[0]
			return p.Status.Phase == x.phase && c.RestartCount == x.restarts && c.Ready == x.ready
		})
	}
}

func withInit(f *fixture, scripts ...string) option {
	return func(p *corev1.Pod) {
		for i, s := range scripts {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{
				Name: fmt.Sprintf("init-%d", i+1), Image: f.images.busybox, Command: []string{"sh", "-c", s}})
		}
	}
}

func initThenApp(policy corev1.RestartPolicy) func(*fixture) {
	return func(f *fixture) {
		app := "cat /work/*"
		if policy == corev1.RestartPolicyAlways {
			app += "; exec sleep 1000"
		}
		p := f.shell("app", app, withInit(f, "echo first > /work/1", "cat /work/1 && echo second > /work/2"))
		p.Spec.RestartPolicy = policy
		withVolume("work", "/work", emptyDir(false))(p)
		for i := range p.Spec.InitContainers {
			p.Spec.InitContainers[i].VolumeMounts = p.Spec.Containers[0].VolumeMounts
		}
		f.create(p)
		done := podReady
		if policy == corev1.RestartPolicyNever {
			done = func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded }
		}
		got := f.awaitPod("app", "runs", done)
		f.expect(podCondition(got, corev1.PodInitialized) == corev1.ConditionTrue, "the pod is not Initialized")
		for _, c := range got.Status.InitContainerStatuses {
			f.expect(c.State.Terminated != nil && c.State.Terminated.ExitCode == 0 && c.Ready, "%s did not succeed: %s", c.Name, podState(got))
		}
		f.eventuallyLogs("app", "main", "first\nsecond\n") // a container that runs may not have spoken yet
	}
}

func initFails(policy corev1.RestartPolicy) func(*fixture) {
	return func(f *fixture) {
		p := f.shell("app", "true", withInit(f, "exit 1", "true"))
		p.Spec.RestartPolicy = policy
		f.create(p)
		done := func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed }
		if policy == corev1.RestartPolicyAlways {
			done = func(p *corev1.Pod) bool {
				return len(p.Status.InitContainerStatuses) == 2 && p.Status.InitContainerStatuses[0].RestartCount >= 2
			}
		}
		got := f.awaitPod("app", "fails to initialize", done)
		f.expect(podCondition(got, corev1.PodInitialized) == corev1.ConditionFalse, "the pod is Initialized")
		second, app := got.Status.InitContainerStatuses[1], got.Status.ContainerStatuses[0]
		f.expect(second.State.Waiting != nil && app.State.Waiting != nil, "a later container was started: %s", podState(got))
		if policy == corev1.RestartPolicyAlways {
			f.expect(got.Status.Phase == corev1.PodPending, "phase %s, want Pending", got.Status.Phase)
		}
	}
}

// ephemeral adds containers to a pod that runs.
func ephemeral(count int) func(*fixture) {
	return func(f *fixture) {
		f.start(f.sleeper("target"))
		for i := range count {
			p := must(f.pods().Get(f.ctx, "target", metav1.GetOptions{}))
			name := fmt.Sprintf("debugger-%d", i+1)
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: name, Image: f.images.busybox, Command: []string{"sh", "-c", "echo looking around; exec sleep 1000"}, TerminationMessagePolicy: corev1.TerminationMessageReadFile}})
			must(f.pods().UpdateEphemeralContainers(f.ctx, "target", p, metav1.UpdateOptions{}))
			f.awaitPod("target", "runs "+name, func(p *corev1.Pod) bool {
				return len(p.Status.EphemeralContainerStatuses) == i+1 && p.Status.EphemeralContainerStatuses[i].State.Running != nil
			})
			f.eventuallyLogs("target", name, "looking around")
		}
		p := must(f.pods().Get(f.ctx, "target", metav1.GetOptions{}))
		f.expect(len(p.Spec.EphemeralContainers) == count, "%d ephemeral containers, want %d", len(p.Spec.EphemeralContainers), count)
	}
}

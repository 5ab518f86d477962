package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/remotecommand"
)

func to[T any](v T) *T { return &v }

// option changes a pod before it is created.
type option func(*corev1.Pod)

// shell is a pod that runs a script in busybox once.
func (f *fixture) shell(name, script string, opts ...option) *corev1.Pod {
	return newPod(name, corev1.RestartPolicyNever, append([]option{func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "main", Image: f.images.busybox, Command: []string{"sh", "-c", script}}}
	}}, opts...))
}

// sleeper is a pod that runs until it is told to stop.
func (f *fixture) sleeper(name string, opts ...option) *corev1.Pod {
	return newPod(name, corev1.RestartPolicyAlways, append([]option{func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "main", Image: f.images.nettool, Args: []string{"pause"}}}
	}}, opts...))
}

// server is a pod that answers HTTP on 8080, UDP on 8081 and TCP on 8082.
func (f *fixture) server(name string, opts ...option) *corev1.Pod {
	return newPod(name, corev1.RestartPolicyAlways, append([]option{func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{
			Name: "main", Image: f.images.nettool, Args: []string{"serve"},
			Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "udp", ContainerPort: 8081, Protocol: corev1.ProtocolUDP}},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: httpGet("/readyz")},
		}}
	}}, opts...))
}

func newPod(name string, restart corev1.RestartPolicy, opts []option) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}}}
	p.Spec.RestartPolicy, p.Spec.TerminationGracePeriodSeconds = restart, to[int64](2)
	for _, o := range opts {
		o(p)
	}
	return p
}

func withLabels(labels map[string]string) option { return func(p *corev1.Pod) { p.Labels = labels } }

func withArgs(args ...string) option {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Args = args }
}

func withEnv(vars ...corev1.EnvVar) option {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, vars...) }
}

func withEnvFrom(from ...corev1.EnvFromSource) option {
	return func(p *corev1.Pod) { p.Spec.Containers[0].EnvFrom = append(p.Spec.Containers[0].EnvFrom, from...) }
}

func withResources(r corev1.ResourceRequirements) option {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources = r }
}

func withUser(uid int64) option {
	return func(p *corev1.Pod) {
		if p.Spec.SecurityContext == nil {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{}
		}
		p.Spec.SecurityContext.RunAsUser = &uid
	}
}

func withFSGroup(gid int64) option {
	return func(p *corev1.Pod) {
		if p.Spec.SecurityContext == nil {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{}
		}
		p.Spec.SecurityContext.FSGroup = &gid
	}
}

func withSecurity(s corev1.SecurityContext) option {
	return func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext = &s }
}

// withVolume mounts a volume at a path of every container.
func withVolume(name, path string, source corev1.VolumeSource) option {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		for i := range p.Spec.Containers {
			c := &p.Spec.Containers[i]
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
		}
	}
}

func httpGet(path string) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: portNumber(8080)}}
}

func (f *fixture) pods() typedcorev1.PodInterface { return f.kube.CoreV1().Pods(f.ns) }

// create makes the pod.
func (f *fixture) create(p *corev1.Pod) *corev1.Pod {
	f.Helper()
	made, err := f.pods().Create(f.ctx, p, metav1.CreateOptions{})
	if err != nil {
		f.Fatalf("creating pod %s: %v", p.Name, err)
	}
	return made
}

// awaitPod waits until ok says yes and returns that pod.
func (f *fixture) awaitPod(name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	f.Helper()
	var p *corev1.Pod
	f.eventually(fmt.Sprintf("pod %s %s", name, what), func() (err error) {
		if p, err = f.pods().Get(f.ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		return errUnless(ok(p), "%s", podState(p))
	})
	return p
}

// start creates the pod and waits until it is ready.
func (f *fixture) start(p *corev1.Pod) *corev1.Pod {
	f.Helper()
	f.create(p)
	return f.awaitPod(p.Name, "ready", podReady)
}

func podReady(p *corev1.Pod) bool { return podCondition(p, corev1.PodReady) == corev1.ConditionTrue }

func podCondition(p *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

func podEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func podState(p *corev1.Pod) string {
	s := fmt.Sprintf("phase %s %s %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		s += fmt.Sprintf("; %s ready=%t restarts=%d", c.Name, c.Ready, c.RestartCount)
		if w := c.State.Waiting; w != nil {
			s += fmt.Sprintf(" waiting %s %s", w.Reason, w.Message)
		}
		if t := c.State.Terminated; t != nil {
			s += fmt.Sprintf(" ended %s code %d %s", t.Reason, t.ExitCode, t.Message)
		}
	}
	return s
}

// output runs a pod to its end, which must be success, and returns its log.
func (f *fixture) output(p *corev1.Pod) string {
	f.Helper()
	p = f.create(p)
	end := f.awaitPod(p.Name, "ends", podEnded)
	log := f.log(p.Name, "")
	if end.Status.Phase != corev1.PodSucceeded {
		f.Fatalf("pod %s: %s\nlog: %s", p.Name, podState(end), log)
	}
	return log
}

func (f *fixture) log(pod, container string) string {
	f.Helper()
	b, err := f.pods().GetLogs(pod, &corev1.PodLogOptions{Container: container}).DoRaw(f.ctx)
	if err != nil {
		f.Fatalf("log of pod %s: %v", pod, err)
	}
	return string(b)
}

// says fails unless each text is in the output.
func (f *fixture) says(output string, texts ...string) {
	f.Helper()
	for _, t := range texts {
		if !strings.Contains(output, t) {
			f.Fatalf("output lacks %q:\n%s", t, output)
		}
	}
}

// eventuallyLogs waits until a pod's log has the text.
func (f *fixture) eventuallyLogs(pod, container, text string) {
	f.Helper()
	f.eventually("the log of "+pod, func() error {
		b, err := f.pods().GetLogs(pod, &corev1.PodLogOptions{Container: container}).DoRaw(f.ctx)
		if err != nil {
			return err
		}
		return errUnless(bytes.Contains(b, []byte(text)), "the log lacks %q: %.500s", text, b)
	})
}

// exec runs a command in a pod's container and returns what it wrote.
func (f *fixture) exec(pod, container string, command ...string) (string, error) {
	return f.execIn(f.ctx, pod, container, command...)
}

func (f *fixture) execIn(ctx context.Context, pod, container string, command ...string) (string, error) {
	req := f.kube.CoreV1().RESTClient().Post().Namespace(f.ns).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	e, err := remotecommand.NewWebSocketExecutor(f.config, "GET", req.URL().String())
	if err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errs}); err != nil {
		return out.String(), fmt.Errorf("%s in %s: %w: %s", strings.Join(command, " "), pod, err, errs.String())
	}
	return out.String(), nil
}

// mustExec is exec that may not fail.
func (f *fixture) mustExec(pod string, command ...string) string {
	f.Helper()
	out, err := f.exec(pod, "", command...)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// viaPod asks a pod's HTTP server through the API server.
func (f *fixture) viaPod(pod, path string) (string, error) {
	b, err := f.kube.CoreV1().RESTClient().Get().Namespace(f.ns).Resource("pods").Name("http:" + pod + ":8080").
		SubResource("proxy").Suffix(path).DoRaw(f.ctx)
	return string(b), err
}

package conformance

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// environment: what a container is told by variables, and how its command is made.
func environment() []behaviour {
	return []behaviour{
		{name: "DownwardAPI, environment for CPU and memory limits and requests", run: envResources},
		{name: "DownwardAPI, environment for default CPU and memory limits and requests", run: envAllocatable},
		{name: "DownwardAPI, environment for host ip", run: envHostIP},
		{name: "DownwardAPI, environment for hostIPs", run: envHostIPs},
		{name: "DownwardAPI, environment for Pod UID", run: envUID},
		{name: "DownwardAPI, environment for name, namespace and ip", run: envName},
		{name: "Environment variables, expansion", run: expandEnv},
		{name: "Environment variables, command expansion", run: expandCommand},
		{name: "Environment variables, command argument expansion", run: expandArgs},
		{name: "VolumeSubpathEnvExpansion, subpath expansion", run: subPathExpanded},
		{name: "VolumeSubpathEnvExpansion, subpath with absolute path", run: subPathRefused("$(POD_NAME)", "/tmp")},
		{name: "VolumeSubpathEnvExpansion, subpath with backticks", run: subPathRefused("$(POD_NAME)", "..")},
		{name: "VolumeSubpathEnvExpansion, subpath test writes", run: subPathWrites},
		{name: "VolumeSubpathEnvExpansion, subpath ready from failed state", run: subPathRepaired},
		{name: "Containers, without command and arguments", run: imageDefaults},
		{name: "Containers, with arguments", run: imageArgs},
		{name: "Containers, with command", run: imageCommand},
		{name: "Containers, with command and arguments", run: imageCommandAndArgs},
		{name: "Pods, service environment variables", run: serviceVariables},
	}
}

func resourceVar(name, what, divisor string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: what, Divisor: resource.MustParse(divisor)}}}
}

func fieldVar(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}}
}

func envResources(f *fixture) {
	out := f.output(f.shell("reader", "env", withResources(someResources()), withEnv(
		resourceVar("CPU_LIMIT", "limits.cpu", "0"), resourceVar("CPU_REQUEST", "requests.cpu", "1m"),
		resourceVar("MEMORY_LIMIT", "limits.memory", "0"), resourceVar("MEMORY_REQUEST", "requests.memory", "1Mi"))))
	f.says(out, "CPU_LIMIT=2\n", "CPU_REQUEST=250\n", "MEMORY_LIMIT=67108864\n", "MEMORY_REQUEST=32\n")
}

func envAllocatable(f *fixture) {
	out := f.output(f.shell("reader", "env", withEnv(resourceVar("CPU_LIMIT", "limits.cpu", "0"), resourceVar("MEMORY_LIMIT", "limits.memory", "0"))))
	p := must(f.pods().Get(f.ctx, "reader", metav1.GetOptions{}))
	have := must(f.kube.CoreV1().Nodes().Get(f.ctx, p.Spec.NodeName, metav1.GetOptions{})).Status.Allocatable
	f.says(out, fmt.Sprintf("CPU_LIMIT=%d\n", have.Cpu().Value()), fmt.Sprintf("MEMORY_LIMIT=%d\n", have.Memory().Value()))
}

func envHostIP(f *fixture) {
	out := f.output(f.shell("reader", "env", withEnv(fieldVar("HOST_IP", "status.hostIP"))))
	f.says(out, "HOST_IP="+must(f.pods().Get(f.ctx, "reader", metav1.GetOptions{})).Status.HostIP+"\n")
}

func envHostIPs(f *fixture) {
	out := f.output(f.shell("reader", "env", withEnv(fieldVar("HOST_IPS", "status.hostIPs"))))
	var ips []string
	for _, ip := range must(f.pods().Get(f.ctx, "reader", metav1.GetOptions{})).Status.HostIPs {
		ips = append(ips, ip.IP)
	}
	f.expect(len(ips) > 0, "the pod has no host addresses")
	f.says(out, "HOST_IPS="+strings.Join(ips, ",")+"\n")
}

func envUID(f *fixture) {
	out := f.output(f.shell("reader", "env", withEnv(fieldVar("POD_UID", "metadata.uid"))))
	f.says(out, "POD_UID="+string(must(f.pods().Get(f.ctx, "reader", metav1.GetOptions{})).UID)+"\n")
}

func envName(f *fixture) {
	out := f.output(f.shell("reader", "env", withEnv(
		fieldVar("POD_NAME", "metadata.name"), fieldVar("POD_NAMESPACE", "metadata.namespace"), fieldVar("POD_IP", "status.podIP"))))
	ip := must(f.pods().Get(f.ctx, "reader", metav1.GetOptions{})).Status.PodIP
	f.expect(ip != "", "the pod has no address")
	f.says(out, "POD_NAME=reader\n", "POD_NAMESPACE="+f.ns+"\n", "POD_IP="+ip+"\n")
}

var greeting = []corev1.EnvVar{{Name: "FIRST", Value: "one"}, {Name: "SECOND", Value: "two"}, {Name: "BOTH", Value: "$(FIRST);;$(SECOND);;$(NONE);;$$(FIRST)"}}

func expandEnv(f *fixture) {
	f.says(f.output(f.shell("reader", "env", withEnv(greeting...))), "BOTH=one;;two;;$(NONE);;$(FIRST)\n")
}

func expandCommand(f *fixture) {
	p := f.shell("reader", "", withEnv(greeting...))
	p.Spec.Containers[0].Command = []string{"sh", "-c", `echo "first is $(FIRST)."`}
	f.says(f.output(p), "first is one.\n")
}

func expandArgs(f *fixture) {
	p := f.shell("reader", "", withEnv(greeting...))
	p.Spec.Containers[0].Command, p.Spec.Containers[0].Args = []string{"echo"}, []string{"first is", "$(FIRST),", "escaped $$(FIRST)"}
	f.says(f.output(p), "first is one, escaped $(FIRST)\n")
}

// withSubPathExpr mounts a part of an emptyDir, and the whole beside it.
func withSubPathExpr(expr string) option {
	return func(p *corev1.Pod) {
		withVolume("work", "/whole", emptyDir(false))(p)
		c := &p.Spec.Containers[0]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "work", MountPath: "/part", SubPathExpr: expr})
	}
}

func subPathExpanded(f *fixture) {
	out := f.output(f.shell("reader", "echo here > /part/file; cat /whole/reader/file",
		withEnv(fieldVar("POD_NAME", "metadata.name")), withSubPathExpr("$(POD_NAME)")))
	f.says(out, "here\n")
}

// subPathRefused: a path that would leave the volume keeps the container from starting.
func subPathRefused(expr, value string) func(*fixture) {
	return func(f *fixture) {
		f.create(f.shell("reader", "true", withEnv(corev1.EnvVar{Name: "POD_NAME", Value: value}), withSubPathExpr(expr)))
		f.awaitPod("reader", "is refused", func(p *corev1.Pod) bool {
			for _, c := range p.Status.ContainerStatuses {
				if c.State.Waiting != nil && c.State.Waiting.Reason == "CreateContainerConfigError" {
					return true
				}
			}
			return false
		})
		check(f.pods().Delete(f.ctx, "reader", metav1.DeleteOptions{}))
		f.eventually("the refused pod is gone", func() error {
			_, err := f.pods().Get(f.ctx, "reader", metav1.GetOptions{})
			return gone(err)
		})
	}
}

// subPathWrites: the path follows an annotation when the container starts again.
func subPathWrites(f *fixture) {
	p := f.sleeper("writer", withEnv(fieldVar("SUB", "metadata.annotations['sub']")), withSubPathExpr("$(SUB)"))
	p.Annotations = map[string]string{"sub": "folder"}
	f.start(p)
	f.mustExec("writer", "sh", "-c", "echo text > /part/file && test -f /whole/folder/file")
	// Its path can no longer be told, and still the volume is cleaned up.
	must(f.pods().Patch(f.ctx, "writer", types.MergePatchType, []byte(`{"metadata":{"annotations":{"sub":null}}}`), metav1.PatchOptions{}))
	check(f.pods().Delete(f.ctx, "writer", metav1.DeleteOptions{}))
	f.eventually("the pod is gone", func() error {
		_, err := f.pods().Get(f.ctx, "writer", metav1.GetOptions{})
		return gone(err)
	})
}

func subPathRepaired(f *fixture) {
	p := f.sleeper("late", withEnv(fieldVar("SUB", "metadata.annotations['sub']")), withSubPathExpr("$(SUB)/$(SUB)"))
	p.Annotations = map[string]string{"sub": "/absolute"}
	f.create(p)
	f.awaitPod("late", "is refused", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	must(f.pods().Patch(f.ctx, "late", types.MergePatchType, []byte(`{"metadata":{"annotations":{"sub":"good"}}}`), metav1.PatchOptions{}))
	f.awaitPod("late", "ready", podReady)
	f.mustExec("late", "test", "-d", "/whole/good/good")
}

// imageDefaults: the test image's entrypoint without arguments serves HTTP.
func imageDefaults(f *fixture) {
	p := f.server("default")
	p.Spec.Containers[0].Args, p.Spec.Containers[0].Command = nil, nil
	f.start(p)
	f.eventuallyLogs("default", "", "serving as default")
}

func imageArgs(f *fixture) {
	p := f.sleeper("args", withArgs("serve", "-http", ":9090", "-udp", "", "-tcp", ""))
	f.start(p)
	out := f.mustExec("args", "cat", "/proc/1/cmdline")
	f.expect(out == "/nettool\x00serve\x00-http\x00:9090\x00-udp\x00\x00-tcp\x00\x00", "command line %q", out)
}

func imageCommand(f *fixture) {
	p := f.sleeper("command")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Containers[0].Command, p.Spec.Containers[0].Args = []string{"/bin/busybox", "echo", "own", "command"}, nil
	f.expect(f.output(p) == "own command\n", "another command ran")
}

func imageCommandAndArgs(f *fixture) {
	p := f.sleeper("both")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Containers[0].Command, p.Spec.Containers[0].Args = []string{"/bin/busybox", "echo"}, []string{"own", "arguments"}
	f.expect(f.output(p) == "own arguments\n", "another command ran")
}

func serviceVariables(f *fixture) {
	f.start(f.server("server"))
	svc := f.createService(newService("fooservice", map[string]string{"name": "server"}, corev1.ServicePort{Port: 8765, TargetPort: portNumber(8080)}))
	ip := svc.Spec.ClusterIP
	var out string
	// The kubelet may learn of the service a moment after its creation.
	f.eventually("variables of the service", func() error {
		p := f.shell("", "env")
		p.GenerateName, p.Labels = "client-", nil
		out = f.output(p)
		return errUnless(strings.Contains(out, "FOOSERVICE_SERVICE_HOST="), "none yet")
	})
	f.says(out, "FOOSERVICE_SERVICE_HOST="+ip+"\n", "FOOSERVICE_SERVICE_PORT=8765\n", "FOOSERVICE_PORT=tcp://"+ip+":8765\n",
		"FOOSERVICE_PORT_8765_TCP_PORT=8765\n", "FOOSERVICE_PORT_8765_TCP_PROTO=tcp\n",
		"FOOSERVICE_PORT_8765_TCP=tcp://"+ip+":8765\n", "FOOSERVICE_PORT_8765_TCP_ADDR="+ip+"\n")
}

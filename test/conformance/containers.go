package conformance

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// containers: what the kubelet makes of a container's settings.
func containers() []behaviour {
	return []behaviour{
		{name: "Kubelet, log output, default", run: logOutput},
		{name: "Kubelet, failed pod, terminated reason", run: terminatedReason},
		{name: "Kubelet, failed pod, delete", run: deleteFailed},
		{name: "Kubelet, pod with read only root file system", run: readOnlyRoot(true)},
		{name: "Security Context, readOnlyRootFilesystem=false.", run: readOnlyRoot(false)},
		{name: "Kubelet, hostAliases", run: hostAliases},
		{name: "Kubelet, managed etc hosts", run: managedHosts},
		{name: "Security Context, runAsUser=65534", run: runsAs(nil, &corev1.SecurityContext{RunAsUser: to[int64](65534)}, "uid=65534")},
		{name: "Security Context, test RunAsGroup at container level", run: runsAs(nil, &corev1.SecurityContext{RunAsUser: to[int64](1001), RunAsGroup: to[int64](2002)}, "uid=1001 gid=2002")},
		{name: "Security Context, test RunAsGroup at pod level", run: runsAs(&corev1.PodSecurityContext{RunAsUser: to[int64](1001), RunAsGroup: to[int64](2002)}, nil, "uid=1001 gid=2002")},
		{name: "Security Context, privileged=false.", run: unprivileged},
		{name: "Security Context, allowPrivilegeEscalation=false.", run: noEscalation},
		{name: "Sysctl, test sysctls", run: sysctl},
		{name: "Sysctls, reject invalid sysctls", run: invalidSysctls},
		{name: "SubPath: Reading content from a configmap volume.", code: "configmap pod [", run: configMapVolume.subPath("/file")},
		{name: "SubPath: Reading content from a configmap volume.", code: "mountPath of existing file", run: configMapVolume.subPath("/etc/passwd")},
		{name: "SubPath: Reading content from a secret volume.", run: secretVolume.subPath("/file")},
		{name: "SubPath: Reading content from a projected volume.", run: projectedConfigMapVolume.subPath("/file")},
		{name: "SubPath: Reading content from a downwardAPI volume.", run: downwardSubPath},
	}
}

func logOutput(f *fixture) {
	f.says(f.output(f.shell("talker", "echo to stdout; echo to stderr >&2")), "to stdout\n", "to stderr\n")
}

func terminatedReason(f *fixture) {
	f.create(f.shell("failing", "exit 3"))
	p := f.awaitPod("failing", "fails", podEnded)
	f.expect(p.Status.Phase == corev1.PodFailed && len(p.Status.ContainerStatuses) == 1, "%s", podState(p))
	end := p.Status.ContainerStatuses[0].State.Terminated
	f.expect(end != nil && end.Reason == "Error" && end.ExitCode == 3, "%s", podState(p))
}

func deleteFailed(f *fixture) {
	p := f.shell("failing", "exit 1")
	p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	f.create(p)
	f.awaitPod("failing", "fails", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount > 0
	})
	check(f.pods().Delete(f.ctx, "failing", metav1.DeleteOptions{}))
	f.eventually("the failing pod is gone", func() error {
		_, err := f.pods().Get(f.ctx, "failing", metav1.GetOptions{})
		return gone(err)
	})
}

func readOnlyRoot(readOnly bool) func(*fixture) {
	return func(f *fixture) {
		want := "written\n"
		if readOnly {
			want = "refused\n"
		}
		out := f.output(f.shell("writer", "if echo text > /file; then echo written; else echo refused; fi",
			withSecurity(corev1.SecurityContext{ReadOnlyRootFilesystem: &readOnly})))
		f.says(out, want)
	}
}

func hostAliases(f *fixture) {
	out := f.output(f.shell("reader", "cat /etc/hosts", func(p *corev1.Pod) {
		p.Spec.HostAliases = []corev1.HostAlias{{IP: "123.45.67.89", Hostnames: []string{"name1", "name2"}}}
	}))
	f.says(out, "123.45.67.89\tname1\tname2\n")
}

// managedHosts: the kubelet writes /etc/hosts unless the host's network is used or the
// container mounts one of its own.
func managedHosts(f *fixture) {
	const mark = "# Kubernetes-managed hosts file"
	p := f.sleeper("managed", withVolume("hosts", "/own-hosts", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc/hosts", Type: to(corev1.HostPathFile)}}))
	own := p.Spec.Containers[0]
	p.Spec.Containers[0].VolumeMounts = nil
	own.Name, own.VolumeMounts = "own", []corev1.VolumeMount{{Name: "hosts", MountPath: "/etc/hosts"}}
	p.Spec.Containers = append(p.Spec.Containers, own)
	f.start(p)
	f.start(f.sleeper("host", onHostNetwork))
	for _, x := range []struct {
		pod, container string
		managed        bool
	}{{"managed", "main", true}, {"managed", "own", false}, {"host", "main", false}} {
		out := must(f.exec(x.pod, x.container, "cat", "/etc/hosts"))
		f.expect(strings.HasPrefix(out, mark) == x.managed || !x.managed && strings.HasPrefix(out, mark+" (host network)"),
			"/etc/hosts of %s in %s: managed should be %t:\n%s", x.container, x.pod, x.managed, out)
	}
}

func onHostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

func runsAs(pod *corev1.PodSecurityContext, container *corev1.SecurityContext, want string) func(*fixture) {
	return func(f *fixture) {
		f.says(f.output(f.shell("who", "echo uid=$(id -u) gid=$(id -g)", func(p *corev1.Pod) {
			p.Spec.SecurityContext, p.Spec.Containers[0].SecurityContext = pod, container
		})), want)
	}
}

func unprivileged(f *fixture) {
	out := f.output(f.shell("maker", "ip link add dummy0 type dummy && echo made || echo refused", withSecurity(corev1.SecurityContext{Privileged: to(false)})))
	f.says(out, "refused\n")
}

// noEscalation: a process can no longer gain privileges by executing a file.
func noEscalation(f *fixture) {
	out := f.output(f.shell("who", "id -u; grep NoNewPrivs /proc/self/status", withSecurity(corev1.SecurityContext{AllowPrivilegeEscalation: to(false), RunAsUser: to[int64](1000)})))
	f.says(out, "1000\n", "NoNewPrivs:\t1\n")
}

func withSysctls(list ...corev1.Sysctl) option {
	return func(p *corev1.Pod) { p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: list} }
}

func sysctl(f *fixture) {
	out := f.output(f.shell("reader", "cat /proc/sys/kernel/shm_rmid_forced", withSysctls(corev1.Sysctl{Name: "kernel.shm_rmid_forced", Value: "1"})))
	f.expect(out == "1\n", "kernel.shm_rmid_forced is %q, want 1", out)
}

func invalidSysctls(f *fixture) {
	_, err := f.pods().Create(f.ctx, f.shell("reader", "true", withSysctls(
		corev1.Sysctl{Name: "foo-", Value: "bar"}, corev1.Sysctl{Name: "kernel.shmmax", Value: "100000000"}, corev1.Sysctl{Name: "bar..", Value: "42"})), metav1.CreateOptions{})
	f.fails(err, isInvalid, "creating a pod with wrong sysctls")
	f.says(err.Error(), `"foo-"`, `"bar.."`)
	f.expect(!strings.Contains(err.Error(), "kernel.shmmax"), "the valid sysctl is complained about: %v", err)
}

// subPath mounts one file of a volume at a path.
func (d dataVolume) subPath(at string) func(*fixture) {
	return func(f *fixture) {
		d.put(f, f.ns, "data", "value-1")
		readSubPath(f, at, d.source("data", nil, nil, false), "key", "value-1")
	}
}

func downwardSubPath(f *fixture) {
	readSubPath(f, "/file", downwardVolume{}.source(nil, fieldFile("folder/name", "metadata.name", nil)), "folder/name", "reader")
}

func readSubPath(f *fixture, at string, source corev1.VolumeSource, sub, want string) {
	out := f.output(f.shell("reader", fmt.Sprintf("cat %s", at), func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: source}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: at, SubPath: sub}}
	}))
	f.expect(strings.TrimSpace(out) == want, "the file has %q, want %q", out, want)
}

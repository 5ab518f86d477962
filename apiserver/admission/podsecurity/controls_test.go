package podsecurity_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/apiserver/admission/podsecurity"
)

// TestControls prints what every control says to every value, on the pod's level,
// on that of a container of each kind, and on both:
//
//   - allowed    R  refused by restricted    B  refused by baseline, and restricted
//
// The pod is good for restricted but for the one thing that is varied.
func TestControls(t *testing.T) {
	datadriven.RunTest(t, "testdata/controls", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "both-levels":
			return differing(d, bothLevels)
		case "containers":
			return differing(d, containersOnly)
		case "pod":
			return podOnly()
		case "volumes":
			return volumes()
		case "versions":
			return versions()
		}
		t.Fatalf("unknown command %s", d.Cmd)
		return ""
	})
}

func differing(d *datadriven.TestData, table func(ownUsers, windows bool) string) string {
	ownUsers, windows := d.HasArg("ownusers"), d.HasArg("windows")
	out := table(ownUsers, windows)
	if !ownUsers && !windows {
		return out
	}
	plain := strings.Split(table(false, false), "\n")
	var lines []string
	for i, line := range strings.Split(out, "\n") {
		if line != plain[i] || line != "" && !strings.Contains(line, "all(") && !strings.Contains(line, " all ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

var containerKinds = []string{"init", "sidecar", "plain", "ephemeral"}

func yes(b bool) *bool      { return &b }
func number(n int64) *int64 { return &n }

func goodContext() *corev1.SecurityContext {
	return &corev1.SecurityContext{AllowPrivilegeEscalation: yes(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
}

func goodPod() *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	return &corev1.Pod{Spec: corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: yes(true), SeccompProfile: &corev1.SeccompProfile{Type: "RuntimeDefault"}},
		InitContainers: []corev1.Container{{Name: "init", SecurityContext: goodContext()},
			{Name: "sidecar", RestartPolicy: &always, SecurityContext: goodContext()}},
		Containers:          []corev1.Container{{Name: "plain", SecurityContext: goodContext()}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "ephemeral", SecurityContext: goodContext()}}},
	}}
}

// each calls f with the containers; an ephemeral one is written back.
func each(p *corev1.Pod, f func(c *corev1.Container)) {
	for i := range p.Spec.InitContainers {
		f(&p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		f(&p.Spec.Containers[i])
	}
	for i := range p.Spec.EphemeralContainers {
		c := corev1.Container(p.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		f(&c)
		p.Spec.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
}

func verdict(p *corev1.Pod) string {
	refused := func(l podsecurity.Level) bool {
		return len(podsecurity.Violations(podsecurity.Bar{Level: l, Version: podsecurity.Latest}, &p.ObjectMeta, &p.Spec)) > 0
	}
	switch baseline, restricted := refused(podsecurity.Baseline), refused(podsecurity.Restricted); {
	case baseline && !restricted:
		return "refused by baseline alone"
	case baseline:
		return "B"
	case restricted:
		return "R"
	}
	return "-"
}

func platform(p *corev1.Pod, ownUsers, windows bool) {
	if ownUsers {
		p.Spec.HostUsers = yes(false)
	}
	if windows {
		p.Spec.OS = &corev1.PodOS{Name: corev1.Windows}
	}
}

// field is one that pods and containers have.
type field struct {
	name   string
	values []string // "unset" is the first
	good   string   // for containers that are not varied
	pod    func(sc *corev1.PodSecurityContext, v string)
	one    func(sc *corev1.SecurityContext, v string)
}

func seccomp(v string) *corev1.SeccompProfile {
	if v == "unset" {
		return nil
	}
	return &corev1.SeccompProfile{Type: corev1.SeccompProfileType(v)}
}

func appArmor(v string) *corev1.AppArmorProfile {
	if v == "unset" {
		return nil
	}
	return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileType(v)}
}

func seLinux(v string) *corev1.SELinuxOptions {
	switch v {
	case "unset":
		return nil
	case "user":
		return &corev1.SELinuxOptions{User: "u"}
	case "role":
		return &corev1.SELinuxOptions{Role: "r"}
	}
	return &corev1.SELinuxOptions{Type: v, Level: "s0"}
}

func truth(v string) *bool {
	if v == "unset" {
		return nil
	}
	return yes(v == "true")
}

func uid(v string) *int64 {
	return map[string]*int64{"unset": nil, "0": number(0), "1000": number(1000)}[v]
}

func windowsOf(v string) *corev1.WindowsSecurityContextOptions {
	if v == "unset" {
		return nil
	}
	return &corev1.WindowsSecurityContextOptions{HostProcess: truth(v)}
}

var fields = []field{
	{"runAsNonRoot", []string{"unset", "true", "false"}, "true",
		func(sc *corev1.PodSecurityContext, v string) { sc.RunAsNonRoot = truth(v) },
		func(sc *corev1.SecurityContext, v string) { sc.RunAsNonRoot = truth(v) }},
	{"runAsUser", []string{"unset", "1000", "0"}, "1000",
		func(sc *corev1.PodSecurityContext, v string) { sc.RunAsUser = uid(v) },
		func(sc *corev1.SecurityContext, v string) { sc.RunAsUser = uid(v) }},
	{"seccompProfile", []string{"unset", "RuntimeDefault", "Localhost", "Unconfined"}, "RuntimeDefault",
		func(sc *corev1.PodSecurityContext, v string) { sc.SeccompProfile = seccomp(v) },
		func(sc *corev1.SecurityContext, v string) { sc.SeccompProfile = seccomp(v) }},
	{"appArmorProfile", []string{"unset", "RuntimeDefault", "Localhost", "Unconfined"}, "unset",
		func(sc *corev1.PodSecurityContext, v string) { sc.AppArmorProfile = appArmor(v) },
		func(sc *corev1.SecurityContext, v string) { sc.AppArmorProfile = appArmor(v) }},
	{"seLinuxOptions", []string{"unset", "container_t", "container_engine_t", "spc_t", "user", "role"}, "unset",
		func(sc *corev1.PodSecurityContext, v string) { sc.SELinuxOptions = seLinux(v) },
		func(sc *corev1.SecurityContext, v string) { sc.SELinuxOptions = seLinux(v) }},
	{"hostProcess", []string{"unset", "false", "true"}, "unset",
		func(sc *corev1.PodSecurityContext, v string) { sc.WindowsOptions = windowsOf(v) },
		func(sc *corev1.SecurityContext, v string) { sc.WindowsOptions = windowsOf(v) }},
}

func bothLevels(ownUsers, windows bool) string {
	var out strings.Builder
	for _, f := range fields {
		fmt.Fprintln(&out, f.name)
		for _, podValue := range f.values {
			fmt.Fprintf(&out, "  pod %-19s", podValue)
			byCells := map[string][]string{}
			for _, kind := range containerKinds {
				var cells []string
				for _, v := range f.values {
					p := goodPod()
					platform(p, ownUsers, windows)
					f.pod(p.Spec.SecurityContext, podValue)
					each(p, func(c *corev1.Container) {
						value := f.good
						if c.Name == kind {
							value = v
						}
						f.one(c.SecurityContext, value)
					})
					cells = append(cells, v+" "+verdict(p))
				}
				line := strings.Join(cells, ", ")
				byCells[line] = append(byCells[line], kind)
			}
			for _, line := range slices.Sorted(maps.Keys(byCells)) {
				fmt.Fprintf(&out, " %s(%s)", allOf(byCells[line]), line)
			}
			out.WriteString("\n")
		}
	}
	return strings.ReplaceAll(out.String(), " \n", "\n")
}

func allOf(kinds []string) string {
	if len(kinds) == len(containerKinds) {
		return "all"
	}
	return strings.Join(kinds, ",")
}

func containersOnly(ownUsers, windows bool) string {
	capability := func(add, drop string) func(*corev1.Container) {
		return func(c *corev1.Container) {
			c.SecurityContext.Capabilities = &corev1.Capabilities{}
			for _, x := range strings.Fields(add) {
				c.SecurityContext.Capabilities.Add = append(c.SecurityContext.Capabilities.Add, corev1.Capability(x))
			}
			for _, x := range strings.Fields(drop) {
				c.SecurityContext.Capabilities.Drop = append(c.SecurityContext.Capabilities.Drop, corev1.Capability(x))
			}
		}
	}
	proc := func(t corev1.ProcMountType) func(*corev1.Container) {
		return func(c *corev1.Container) { c.SecurityContext.ProcMount = &t }
	}
	probe := func(host string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80), Host: host}}}
	}
	list := []struct {
		name string
		set  func(*corev1.Container)
	}{
		{"no securityContext", func(c *corev1.Container) { c.SecurityContext = nil }},
		{"privileged true", func(c *corev1.Container) { c.SecurityContext.Privileged = yes(true) }},
		{"privileged false", func(c *corev1.Container) { c.SecurityContext.Privileged = yes(false) }},
		{"allowPrivilegeEscalation unset", func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil }},
		{"allowPrivilegeEscalation true", func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = yes(true) }},
		{"capabilities none", capability("", "")},
		{"capabilities drop NET_RAW", capability("", "NET_RAW")},
		{"capabilities drop all", capability("", "all")},
		{"capabilities add CHOWN drop ALL", capability("CHOWN", "ALL")},
		{"capabilities add NET_BIND_SERVICE drop ALL", capability("NET_BIND_SERVICE", "ALL")},
		{"capabilities add NET_RAW drop ALL", capability("NET_RAW", "ALL")},
		{"capabilities add ALL drop ALL", capability("ALL", "ALL")},
		{"procMount Default", proc(corev1.DefaultProcMount)},
		{"procMount Unmasked", proc(corev1.UnmaskedProcMount)},
		{"hostPort 0", func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80}} }},
		{"hostPort 80", func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} }},
		{"livenessProbe host", func(c *corev1.Container) { c.LivenessProbe = probe("10.0.0.1") }},
		{"livenessProbe no host", func(c *corev1.Container) { c.LivenessProbe = probe("") }},
		{"readinessProbe host", func(c *corev1.Container) { c.ReadinessProbe = probe("10.0.0.1") }},
		{"startupProbe host", func(c *corev1.Container) { c.StartupProbe = probe("10.0.0.1") }},
		{"livenessProbe tcp host", func(c *corev1.Container) {
			c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "x"}}}
		}},
		{"postStart host", func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Host: "x"}}}
		}},
		{"preStop tcp host", func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{TCPSocket: &corev1.TCPSocketAction{Host: "x"}}}
		}},
	}
	var out strings.Builder
	for _, x := range list {
		fmt.Fprintf(&out, "%-43s", x.name)
		byLetter := map[string][]string{}
		for _, kind := range containerKinds {
			p := goodPod()
			platform(p, ownUsers, windows)
			each(p, func(c *corev1.Container) {
				if c.Name == kind {
					x.set(c)
				}
			})
			byLetter[verdict(p)] = append(byLetter[verdict(p)], kind)
		}
		for _, letter := range slices.Sorted(maps.Keys(byLetter)) {
			fmt.Fprintf(&out, " %s %s", allOf(byLetter[letter]), letter)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func podOnly() string {
	sysctl := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.SecurityContext.Sysctls = []corev1.Sysctl{{Name: name, Value: "1"}} }
	}
	note := func(v string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.ObjectMeta = metav1.ObjectMeta{Annotations: map[string]string{"container.apparmor.security.beta.kubernetes.io/plain": v}}
		}
	}
	var out strings.Builder
	for _, x := range []struct {
		name string
		set  func(*corev1.Pod)
	}{
		{"as it is", func(*corev1.Pod) {}},
		{"no securityContext", func(p *corev1.Pod) { p.Spec.SecurityContext = nil }},
		{"hostNetwork", func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		{"hostPID", func(p *corev1.Pod) { p.Spec.HostPID = true }},
		{"hostIPC", func(p *corev1.Pod) { p.Spec.HostIPC = true }},
		{"sysctl kernel.shm_rmid_forced", sysctl("kernel.shm_rmid_forced")},
		{"sysctl net.ipv4.tcp_wmem", sysctl("net.ipv4.tcp_wmem")},
		{"sysctl kernel.msgmax", sysctl("kernel.msgmax")},
		{"sysctl net.ipv4.conf.all.route_localnet", sysctl("net.ipv4.conf.all.route_localnet")},
		{"AppArmor annotation runtime/default", note("runtime/default")},
		{"AppArmor annotation localhost/x", note("localhost/x")},
		{"AppArmor annotation unconfined", note("unconfined")},
	} {
		p := goodPod()
		x.set(p)
		fmt.Fprintf(&out, "%-43s %s\n", x.name, verdict(p))
	}
	return out.String()
}

// volumes of every type that the API has.
func volumes() string {
	byVerdict := map[string][]string{}
	source := reflect.TypeFor[corev1.VolumeSource]()
	for i := range source.NumField() {
		p := goodPod()
		v := corev1.Volume{Name: "v"}
		reflect.ValueOf(&v.VolumeSource).Elem().Field(i).Set(reflect.New(source.Field(i).Type.Elem()))
		p.Spec.Volumes = []corev1.Volume{v}
		byVerdict[verdict(p)] = append(byVerdict[verdict(p)], source.Field(i).Name)
	}
	var out strings.Builder
	for _, letter := range []string{"-", "R", "B"} {
		fmt.Fprintln(&out, letter, strings.Join(byVerdict[letter], " "))
	}
	return out.String()
}

// versions lists what each version of the standards changed for a pod that
// violates everything, and one that leans on what became allowed.
func versions() string {
	bad := goodPod()
	bad.Spec.HostUsers = yes(false)
	bad.Spec.OS = &corev1.PodOS{Name: corev1.Windows}
	bad.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: number(0), SELinuxOptions: seLinux("container_engine_t")}
	for _, s := range []string{"net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem"} {
		bad.Spec.SecurityContext.Sysctls = append(bad.Spec.SecurityContext.Sysctls, corev1.Sysctl{Name: s})
	}
	bad.Spec.Volumes = []corev1.Volume{{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}}}
	unmasked := corev1.UnmaskedProcMount
	each(bad, func(c *corev1.Container) {
		c.SecurityContext = &corev1.SecurityContext{ProcMount: &unmasked, Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_RAW"}}}
		c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "x"}}}
	})
	var out strings.Builder
	for _, level := range []podsecurity.Level{podsecurity.Baseline, podsecurity.Restricted} {
		var before []string
		for v := podsecurity.Version(0); v < 40; v++ {
			var now []string
			for _, x := range podsecurity.Violations(podsecurity.Bar{Level: level, Version: v}, &bad.ObjectMeta, &bad.Spec) {
				now = append(now, x.Reason)
				if x.Reason == "forbidden sysctls" {
					now[len(now)-1] += ": " + x.Detail
				}
			}
			for _, n := range now {
				if !slices.Contains(before, n) {
					fmt.Fprintf(&out, "%s:%s + %s\n", level, v, n)
				}
			}
			for _, n := range before {
				if !slices.Contains(now, n) {
					fmt.Fprintf(&out, "%s:%s - %s\n", level, v, n)
				}
			}
			before = now
		}
	}
	return out.String()
}

// What is told of a pod with very many containers stays short.
func TestViolationsAreBounded(t *testing.T) {
	p := goodPod()
	for i := range 100_000 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Ports: []corev1.ContainerPort{{HostPort: int32(i%60_000 + 1)}}})
	}
	for _, v := range podsecurity.Violations(podsecurity.Bar{Level: podsecurity.Restricted, Version: podsecurity.Latest}, &p.ObjectMeta, &p.Spec) {
		if len(v.Detail) > 2000 {
			t.Errorf("%s: %d bytes", v.Reason, len(v.Detail))
		}
	}
}

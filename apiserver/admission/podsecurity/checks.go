package podsecurity

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// check returns what is wrong, or "".
type check func(*pod) string

// pod is what checks see; all lists containers of every kind.
type pod struct {
	meta *metav1.ObjectMeta
	spec *corev1.PodSpec
	sc   corev1.PodSecurityContext
	all  []container
}

type container struct {
	name      string
	sc        corev1.SecurityContext
	ports     []corev1.ContainerPort
	probes    []*corev1.Probe
	lifecycle *corev1.Lifecycle
}

// baseline checks, then those that restricted adds.
var (
	baseline = [...]check{hostNamespaces, privilegedContainers, addedCapabilities, hostPaths, hostPorts, hostProbes,
		appArmor, seLinux, procMount, seccompUnconfined, sysctls, hostProcess}
	restricted = [...]check{volumeTypes, privilegeEscalation, dropCapabilities, runAsNonRoot, runAsUser, seccompRequired}
)

// Violations lists what keeps a pod from a level, in the words that users know.
func Violations(l Level, meta *metav1.ObjectMeta, spec *corev1.PodSpec) (out []string) {
	if l == privileged {
		return nil
	}
	p := newPod(meta, spec)
	list := baseline[:]
	if l == Restricted {
		list = append(slices.Clone(list), restricted[:]...)
	}
	for _, c := range list {
		if bad := c(p); bad != "" {
			out = append(out, bad)
		}
	}
	return out
}

func newPod(meta *metav1.ObjectMeta, spec *corev1.PodSpec) *pod {
	p := &pod{meta: meta, spec: spec}
	if spec.SecurityContext != nil {
		p.sc = *spec.SecurityContext
	}
	add := func(name string, sc *corev1.SecurityContext, ports []corev1.ContainerPort, l *corev1.Lifecycle, probes ...*corev1.Probe) {
		c := container{name: name, ports: ports, probes: probes, lifecycle: l}
		if sc != nil {
			c.sc = *sc
		}
		p.all = append(p.all, c)
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			c := &list[i]
			add(c.Name, c.SecurityContext, c.Ports, c.Lifecycle, c.LivenessProbe, c.ReadinessProbe, c.StartupProbe)
		}
	}
	for i := range spec.EphemeralContainers {
		c := &spec.EphemeralContainers[i].EphemeralContainerCommon
		add(c.Name, c.SecurityContext, c.Ports, nil)
	}
	return p
}

// where names the containers for which bad holds.
func (p *pod) where(bad func(*container) bool) []string {
	var names []string
	for i := range p.all {
		if bad(&p.all[i]) {
			names = append(names, p.all[i].name)
		}
	}
	return names
}

func plural(word string, names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	if len(names) > 1 {
		word += "s"
	}
	return word + " " + strings.Join(q, ", ")
}

// must is "title (container "x" must not set field)" when any container is bad.
func (p *pod) must(title, demand string, bad func(*container) bool) string {
	names := p.where(bad)
	if len(names) == 0 {
		return ""
	}
	return title + " (" + plural("container", names) + " " + demand + ")"
}

func isTrue(b *bool) bool { return b != nil && *b }

func hostNamespaces(p *pod) string {
	var set []string
	for name, on := range map[string]bool{"hostNetwork=true": p.spec.HostNetwork, "hostPID=true": p.spec.HostPID, "hostIPC=true": p.spec.HostIPC} {
		if on {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return ""
	}
	slices.Sort(set)
	return "host namespaces (" + strings.Join(set, ", ") + ")"
}

func privilegedContainers(p *pod) string {
	return p.must("privileged", "must not set securityContext.privileged=true", func(c *container) bool { return isTrue(c.sc.Privileged) })
}

var defaultCapabilities = [...]corev1.Capability{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
	"NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

func addedCapabilities(p *pod) string {
	var bad []string
	names := p.where(func(c *container) (found bool) {
		if c.sc.Capabilities == nil {
			return false
		}
		for _, x := range c.sc.Capabilities.Add {
			if !slices.Contains(defaultCapabilities[:], x) {
				bad, found = append(bad, fmt.Sprintf("%q", x)), true
			}
		}
		return found
	})
	if len(names) == 0 {
		return ""
	}
	slices.Sort(bad)
	return "non-default capabilities (" + plural("container", names) + " must not include " + strings.Join(slices.Compact(bad), ", ") + " in securityContext.capabilities.add)"
}

func hostPaths(p *pod) string {
	var names []string
	for _, v := range p.spec.Volumes {
		if v.HostPath != nil {
			names = append(names, v.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "hostPath volumes (" + plural("volume", names) + ")"
}

func hostPorts(p *pod) string {
	var ports []string
	names := p.where(func(c *container) (found bool) {
		for _, x := range c.ports {
			if x.HostPort != 0 {
				ports, found = append(ports, fmt.Sprint(x.HostPort)), true
			}
		}
		return found
	})
	if len(names) == 0 {
		return ""
	}
	word := "hostPort "
	if len(ports) > 1 {
		word = "hostPorts "
	}
	return "hostPort (" + plural("container", names) + " uses " + word + strings.Join(ports, ", ") + ")"
}

func hostProbes(p *pod) string {
	return p.must("probe or lifecycle host", "must not set a host in probes or lifecycle handlers", func(c *container) bool {
		for _, x := range c.probes {
			if x != nil && (x.HTTPGet != nil && x.HTTPGet.Host != "" || x.TCPSocket != nil && x.TCPSocket.Host != "") {
				return true
			}
		}
		if c.lifecycle == nil {
			return false
		}
		for _, x := range []*corev1.LifecycleHandler{c.lifecycle.PostStart, c.lifecycle.PreStop} {
			if x != nil && (x.HTTPGet != nil && x.HTTPGet.Host != "" || x.TCPSocket != nil && x.TCPSocket.Host != "") {
				return true
			}
		}
		return false
	})
}

func appArmor(p *pod) string {
	bad := func(a *corev1.AppArmorProfile) bool {
		return a != nil && a.Type == corev1.AppArmorProfileTypeUnconfined
	}
	if bad(p.sc.AppArmorProfile) {
		return `forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")`
	}
	for k, v := range p.meta.Annotations {
		if strings.HasPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) && v != "" && v != "runtime/default" && !strings.HasPrefix(v, "localhost/") {
			return fmt.Sprintf("forbidden AppArmor profile (%s=%q)", k, v)
		}
	}
	return p.must("forbidden AppArmor profile", `must not set AppArmor profile type to "Unconfined"`, func(c *container) bool { return bad(c.sc.AppArmorProfile) })
}

func seLinux(p *pod) string {
	bad := func(o *corev1.SELinuxOptions) bool {
		return o != nil && (o.User != "" || o.Role != "" ||
			!slices.Contains([]string{"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}, o.Type))
	}
	if bad(p.sc.SELinuxOptions) {
		return "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions)"
	}
	return p.must("seLinuxOptions", "set forbidden securityContext.seLinuxOptions", func(c *container) bool { return bad(c.sc.SELinuxOptions) })
}

func procMount(p *pod) string {
	if p.spec.HostUsers != nil && !*p.spec.HostUsers {
		return "" // root there is nobody here
	}
	return p.must("procMount", "must not set securityContext.procMount to other than \"Default\"", func(c *container) bool {
		return c.sc.ProcMount != nil && *c.sc.ProcMount != corev1.DefaultProcMount
	})
}

func seccompUnconfined(p *pod) string {
	bad := func(s *corev1.SeccompProfile) bool { return s != nil && s.Type == corev1.SeccompProfileTypeUnconfined }
	if bad(p.sc.SeccompProfile) {
		return `seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")`
	}
	return p.must("seccompProfile", `must not set securityContext.seccompProfile.type to "Unconfined"`, func(c *container) bool { return bad(c.sc.SeccompProfile) })
}

var safeSysctls = [...]string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}

func sysctls(p *pod) string {
	var bad []string
	for _, s := range p.sc.Sysctls {
		if !slices.Contains(safeSysctls[:], s.Name) {
			bad = append(bad, s.Name)
		}
	}
	if len(bad) == 0 {
		return ""
	}
	return "forbidden sysctls (" + strings.Join(bad, ", ") + ")"
}

func hostProcess(p *pod) string {
	bad := func(w *corev1.WindowsSecurityContextOptions) bool { return w != nil && isTrue(w.HostProcess) }
	if bad(p.sc.WindowsOptions) {
		return "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"
	}
	return p.must("hostProcess", "must not set securityContext.windowsOptions.hostProcess=true", func(c *container) bool { return bad(c.sc.WindowsOptions) })
}

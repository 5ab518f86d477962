package podsecurity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func hostNamespaces(p *pod) string {
	var on []string
	for _, x := range []struct {
		name string
		on   bool
	}{{"hostNetwork=true", p.spec.HostNetwork}, {"hostPID=true", p.spec.HostPID}, {"hostIPC=true", p.spec.HostIPC}} {
		if x.on {
			on = append(on, x.name)
		}
	}
	return strings.Join(on, ", ")
}

func privilegedContainers(p *pod) string {
	return p.mustNot("must not set securityContext.privileged=true", false, func(c *container) bool { return isTrue(c.sc.Privileged) })
}

var defaultCapabilities = [...]corev1.Capability{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
	"NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

func addedCapabilities(p *pod) string { return p.addsBeyond(defaultCapabilities[:]) }

// addsBeyond tells which containers add capabilities that are not allowed.
func (p *pod) addsBeyond(allowed []corev1.Capability) string {
	var bad []string
	names := p.where(func(c *container) (found bool) {
		if c.sc.Capabilities == nil {
			return false
		}
		for _, x := range c.sc.Capabilities.Add {
			if !slices.Contains(allowed, x) {
				bad, found = append(bad, string(x)), true
			}
		}
		return found
	})
	if len(names) == 0 {
		return ""
	}
	return plural("container", names) + " must not include " + quoted(set(bad)) + " in securityContext.capabilities.add"
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
	return plural("volume", names)
}

func hostPorts(p *pod) string {
	var ports []string
	names := p.where(func(c *container) (found bool) {
		for _, x := range c.ports {
			if x.HostPort != 0 {
				ports, found = append(ports, strconv.Itoa(int(x.HostPort))), true
			}
		}
		return found
	})
	return uses(names, "hostPort", set(ports))
}

// uses is `containers "a", "b" use hostPorts 80, 81`, or "".
func uses(names []string, what string, values []string) string {
	if len(names) == 0 {
		return ""
	}
	verb := " uses "
	if len(names) > 1 {
		verb = " use "
	}
	if len(values) > 1 {
		what += "s"
	}
	return plural("container", names) + verb + what + " " + listed(values, 0)
}

func hostProbes(p *pod) string {
	var hosts []string
	names := p.where(func(c *container) bool {
		before := len(hosts)
		add := func(get *corev1.HTTPGetAction, socket *corev1.TCPSocketAction) {
			if get != nil && get.Host != "" {
				hosts = append(hosts, strconv.Quote(get.Host))
			}
			if socket != nil && socket.Host != "" {
				hosts = append(hosts, strconv.Quote(socket.Host))
			}
		}
		for _, x := range c.probes {
			if x != nil {
				add(x.HTTPGet, x.TCPSocket)
			}
		}
		if c.lifecycle != nil {
			for _, x := range []*corev1.LifecycleHandler{c.lifecycle.PostStart, c.lifecycle.PreStop} {
				if x != nil {
					add(x.HTTPGet, x.TCPSocket)
				}
			}
		}
		return len(hosts) > before
	})
	return uses(names, "probe or lifecycle host", set(hosts))
}

func appArmor(p *pod) string {
	var values []string
	bad := func(a *corev1.AppArmorProfile) bool {
		if a == nil || a.Type == corev1.AppArmorProfileTypeRuntimeDefault || a.Type == corev1.AppArmorProfileTypeLocalhost {
			return false
		}
		values = append(values, string(a.Type))
		return true
	}
	var details []string
	if who := p.setters(bad(p.sc.AppArmorProfile), func(c *container) bool { return bad(c.sc.AppArmorProfile) }); who != "" {
		details = append(details, who+" must not set AppArmor profile type to "+quoted(set(values)))
	}
	var notes []string
	for k, v := range p.meta.Annotations {
		if strings.HasPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) && v != "" && v != "runtime/default" && !strings.HasPrefix(v, "localhost/") {
			notes = append(notes, fmt.Sprintf("%s=%q", k, v))
		}
	}
	if len(notes) > 0 {
		word := "annotation "
		if len(notes) > 1 {
			word = "annotations "
		}
		details = append(details, word+listed(set(notes), 0))
	}
	return strings.Join(details, ", ")
}

func seLinux(p *pod) string {
	types := []string{"", "container_t", "container_init_t", "container_kvm_t"}
	if p.version >= 31 {
		types = append(types, "container_engine_t")
	}
	var badTypes []string
	var user, role bool
	bad := func(o *corev1.SELinuxOptions) bool {
		if o == nil {
			return false
		}
		badType := !slices.Contains(types, o.Type)
		if badType {
			badTypes = append(badTypes, o.Type)
		}
		user, role = user || o.User != "", role || o.Role != ""
		return badType || o.User != "" || o.Role != ""
	}
	who := p.setters(bad(p.sc.SELinuxOptions), func(c *container) bool { return bad(c.sc.SELinuxOptions) })
	if who == "" {
		return ""
	}
	var what []string
	if len(badTypes) > 0 {
		what = append(what, plural("type", set(badTypes)))
	}
	if user {
		what = append(what, "user may not be set")
	}
	if role {
		what = append(what, "role may not be set")
	}
	return who + " set forbidden securityContext.seLinuxOptions: " + strings.Join(what, "; ")
}

// procMountUnlessOwnUsers: the baseline trusts a user namespace.
func procMountUnlessOwnUsers(p *pod) string {
	if p.ownUsers() {
		return ""
	}
	return procMount(p)
}

func procMount(p *pod) string {
	var values []string
	names := p.where(func(c *container) bool {
		if c.sc.ProcMount == nil || *c.sc.ProcMount == corev1.DefaultProcMount {
			return false
		}
		values = append(values, string(*c.sc.ProcMount))
		return true
	})
	if len(names) == 0 {
		return ""
	}
	return plural("container", names) + " must not set securityContext.procMount to " + quoted(set(values))
}

func seccompUnconfined(p *pod) string {
	var values []string
	bad := func(s *corev1.SeccompProfile) bool { return seccompBad(s, &values) }
	who := p.setters(bad(p.sc.SeccompProfile), func(c *container) bool { return bad(c.sc.SeccompProfile) })
	if who == "" {
		return ""
	}
	return who + " must not set securityContext.seccompProfile.type to " + quoted(set(values))
}

func seccompBad(s *corev1.SeccompProfile, values *[]string) bool {
	if s == nil || s.Type == corev1.SeccompProfileTypeRuntimeDefault || s.Type == corev1.SeccompProfileTypeLocalhost {
		return false
	}
	*values = append(*values, string(s.Type))
	return true
}

// safeSysctls by the version from which on they are.
var safeSysctls = map[string]Version{
	"kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0, "net.ipv4.ping_group_range": 0,
	"net.ipv4.ip_unprivileged_port_start": 0, "net.ipv4.ip_local_reserved_ports": 27,
	"net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29, "net.ipv4.tcp_keepalive_probes": 29,
	"net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}

func sysctls(p *pod) string {
	var bad []string
	for _, s := range p.sc.Sysctls {
		if since, ok := safeSysctls[s.Name]; !ok || since > p.version {
			bad = append(bad, s.Name)
		}
	}
	return listed(bad, 0)
}

func hostProcess(p *pod) string {
	bad := func(w *corev1.WindowsSecurityContextOptions) bool { return w != nil && isTrue(w.HostProcess) }
	return p.mustNot("must not set securityContext.windowsOptions.hostProcess=true", bad(p.sc.WindowsOptions),
		func(c *container) bool { return bad(c.sc.WindowsOptions) })
}

package admit

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/status"
)

// safe are the kernel parameters that any pod may set, as Kubernetes documents them: each is its namespace's own and
// does nothing to other pods. With them, the first kernel in which that is so.
var safe = map[string][2]int{
	"kernel.shm_rmid_forced":              {},
	"net.ipv4.ip_local_port_range":        {},
	"net.ipv4.tcp_syncookies":             {},
	"net.ipv4.ping_group_range":           {},
	"net.ipv4.ip_unprivileged_port_start": {},
	"net.ipv4.ip_local_reserved_ports":    {3, 16},
	"net.ipv4.tcp_keepalive_time":         {4, 5},
	"net.ipv4.tcp_fin_timeout":            {4, 6},
	"net.ipv4.tcp_keepalive_intvl":        {4, 5},
	"net.ipv4.tcp_keepalive_probes":       {4, 5},
	"net.ipv4.tcp_rmem":                   {4, 15},
	"net.ipv4.tcp_wmem":                   {4, 15},
}

// namespace is the kind of namespace that a parameter belongs to; empty where it is the whole host's.
func namespace(name string) string {
	switch {
	case strings.HasPrefix(name, "net."):
		return "net"
	case name == "kernel.sem", strings.HasPrefix(name, "kernel.shm"), strings.HasPrefix(name, "kernel.msg"), strings.HasPrefix(name, "fs.mqueue."):
		return "ipc"
	}
	return ""
}

// Sysctls says which kernel parameters pods may set. The zero value allows the safe ones of an old kernel.
type Sysctls struct {
	major, minor int
	exact        map[string]bool
	prefixes     []string
}

// NewSysctls allows, beside the safe parameters of that kernel, the named ones and patterns ("net.*").
func NewSysctls(kernel string, unsafe []string) (Sysctls, error) {
	s := Sysctls{exact: map[string]bool{}}
	s.major, s.minor = release(kernel)
	for _, u := range unsafe {
		name := dotted(u)
		prefix, pattern := strings.CutSuffix(name, "*")
		if prefix == "" || strings.Contains(prefix, "*") || namespace(prefix) == "" {
			return s, fmt.Errorf("allowed unsafe sysctls: %q: want a parameter or a pattern that ends in * of kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* or net.*: others are not namespaced", u)
		}
		if pattern {
			s.prefixes = append(s.prefixes, prefix)
		} else {
			s.exact[name] = true
		}
	}
	return s, nil
}

// dotted is a parameter's name with dots, as sysctl(8) reads one with slashes: there dots are part of names.
func dotted(name string) string {
	at := strings.IndexAny(name, "./")
	if at < 0 || name[at] == '.' {
		return name
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}

func release(kernel string) (major, minor int) {
	head, rest, _ := strings.Cut(kernel, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, _ = strconv.Atoi(head)
	minor, _ = strconv.Atoi(rest[:end])
	return major, minor
}

func (s Sysctls) allows(name string) bool {
	if least, ok := safe[name]; ok && (s.major > least[0] || s.major == least[0] && s.minor >= least[1]) {
		return true
	}
	if s.exact[name] {
		return true
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// check refuses a pod that sets what it may not, or what would be the host's.
func (s Sysctls) check(pod *v1.Pod) *status.Final {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	for _, c := range pod.Spec.SecurityContext.Sysctls {
		name := dotted(c.Name)
		why := ""
		switch kind := namespace(name); {
		case !s.allows(name) || kind == "":
			why = "not allowlisted"
		case kind == "net" && pod.Spec.HostNetwork:
			why = "not allowed with host net enabled"
		case kind == "ipc" && pod.Spec.HostIPC:
			why = "not allowed with host ipc enabled"
		default:
			continue
		}
		return reject("SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q %s", c.Name, why))
	}
	return nil
}

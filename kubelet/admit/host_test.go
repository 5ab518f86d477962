package admit

import (
	"errors"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func withPort(p v1.ContainerPort) *v1.Pod {
	return pod("x", "0", func(pod *v1.Pod) { pod.Spec.Containers[0].Ports = []v1.ContainerPort{p} })
}

// TestPorts: which ports of the node cannot be had side by side, with other pods and with the host's own listeners.
func TestPorts(t *testing.T) {
	node := &v1.Node{}
	sidecar := pod("s", "0", func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{{Name: "side", RestartPolicy: new(v1.ContainerRestartPolicyAlways), Ports: []v1.ContainerPort{{HostPort: 81}}},
			{Name: "init", Ports: []v1.ContainerPort{{HostPort: 82}}}}
	})
	one := pod("o", "0", func(p *v1.Pod) {
		p.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: 80, HostIP: "192.0.2.1", Protocol: v1.ProtocolTCP}}
	})
	host := []Port{{v1.ProtocolTCP, "0.0.0.0", 6443}, {v1.ProtocolTCP, "127.0.0.1", 2379}, {v1.ProtocolTCP, "::", 10250}, {v1.ProtocolUDP, "192.0.2.1", 53}}
	for name, c := range map[string]struct {
		want  v1.ContainerPort
		taken bool
	}{
		"free":                               {v1.ContainerPort{HostPort: 8080}, false},
		"not on the host":                    {v1.ContainerPort{ContainerPort: 6443}, false},
		"another pod's, on one address":      {v1.ContainerPort{HostPort: 80}, true},
		"another pod's, the same address":    {v1.ContainerPort{HostPort: 80, HostIP: "192.0.2.1"}, true},
		"another pod's, all addresses":       {v1.ContainerPort{HostPort: 80, HostIP: "0.0.0.0"}, true},
		"another pod's, another address":     {v1.ContainerPort{HostPort: 80, HostIP: "192.0.2.2"}, false},
		"another pod's, another protocol":    {v1.ContainerPort{HostPort: 80, Protocol: v1.ProtocolUDP}, false},
		"a sidecar's":                        {v1.ContainerPort{HostPort: 81}, true},
		"an init container's, which is over": {v1.ContainerPort{HostPort: 82}, false},
		"the API server's":                   {v1.ContainerPort{HostPort: 6443, Protocol: v1.ProtocolTCP}, true},
		"the API server's, on one address":   {v1.ContainerPort{HostPort: 6443, HostIP: "192.0.2.1"}, true},
		"etcd's on loopback":                 {v1.ContainerPort{HostPort: 2379}, true},
		"etcd's, elsewhere":                  {v1.ContainerPort{HostPort: 2379, HostIP: "192.0.2.1"}, false},
		"the kubelet's":                      {v1.ContainerPort{HostPort: 10250}, true},
		"a name server's":                    {v1.ContainerPort{HostPort: 53, Protocol: v1.ProtocolUDP}, true},
		"beside a name server":               {v1.ContainerPort{HostPort: 53}, false},
	} {
		got := Pod(withPort(c.want), []*v1.Pod{one, sidecar}, node, Host{Listeners: func() ([]Port, error) { return host, nil }})
		if (got != nil) != c.taken || got != nil && got.Reason != "NodePorts" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	unknown := Host{Listeners: func() ([]Port, error) { return nil, errors.New("no /proc") }}
	if got := Pod(withPort(v1.ContainerPort{HostPort: 80}), nil, node, unknown); got == nil || got.Reason != "UnexpectedAdmissionError" {
		t.Errorf("when nobody knows what the host listens on: %+v", got)
	}
	if got := Pod(withPort(v1.ContainerPort{ContainerPort: 80}), nil, node, unknown); got != nil {
		t.Errorf("a pod that wants no port: %+v", got)
	}
}

// TestSysctls: every answer about kernel parameters.
func TestSysctls(t *testing.T) {
	const no = ""
	for _, c := range []struct {
		kernel  string
		allowed []string
		host    string // hostNetwork or hostIPC
		name    string
		refused string
	}{
		{"6.1.0-13-amd64", nil, no, "kernel.shm_rmid_forced", ""},
		{"6.1.0", nil, no, "net.ipv4.ip_local_port_range", ""},
		{"6.1.0", nil, no, "net.ipv4.tcp_syncookies", ""},
		{"6.1.0", nil, no, "net.ipv4.ping_group_range", ""},
		{"6.1.0", nil, no, "net.ipv4.ip_unprivileged_port_start", ""},
		{"6.1.0", nil, no, "net.ipv4.ip_local_reserved_ports", ""},
		{"6.1.0", nil, no, "net.ipv4.tcp_keepalive_time", ""},
		{"6.1.0", nil, no, "net.ipv4.tcp_fin_timeout", ""},
		{"6.1.0", nil, no, "net.ipv4.tcp_keepalive_intvl", ""},
		{"6.1.0", nil, no, "net.ipv4.tcp_keepalive_probes", ""},
		{"6.1.0", nil, no, "net.ipv4.tcp_rmem", ""},
		{"4.15", nil, no, "net.ipv4.tcp_wmem", ""},
		{"4.14.9", nil, no, "net.ipv4.tcp_wmem", "not allowlisted"},
		{"4.5-rc1", nil, no, "net.ipv4.tcp_keepalive_time", ""},
		{"4.4", nil, no, "net.ipv4.tcp_keepalive_time", "not allowlisted"},
		{"odd", nil, no, "net.ipv4.tcp_syncookies", ""},
		{"odd", nil, no, "net.ipv4.tcp_rmem", "not allowlisted"},
		{"6.1", nil, no, "net/ipv4/tcp_syncookies", ""},
		{"6.1", nil, no, "net.core.somaxconn", "not allowlisted"},
		{"6.1", nil, no, "kernel.msgmax", "not allowlisted"},
		{"6.1", nil, no, "net.ipv4.ip_forward", "not allowlisted"},
		{"6.1", nil, no, "net.ipv4.conf.all.route_localnet", "not allowlisted"},
		{"6.1", nil, no, "net/ipv4/conf/eth0.1/route_localnet", "not allowlisted"},
		{"6.1", nil, no, "vm.swappiness", "not allowlisted"},
		{"6.1", []string{"net.core.somaxconn"}, no, "net.core.somaxconn", ""},
		{"6.1", []string{"net/core/somaxconn"}, no, "net.core.somaxconn", ""},
		{"6.1", []string{"net.core.somaxconn"}, no, "net.core.somaxconn2", "not allowlisted"},
		{"6.1", []string{"kernel.msg*", "net.ipv4.*"}, no, "kernel.msgmax", ""},
		{"6.1", []string{"kernel.msg*", "net.ipv4.*"}, no, "net.ipv4.ip_forward", ""},
		{"6.1", []string{"kernel.msg*", "net.ipv4.*"}, no, "kernel.sem", "not allowlisted"},
		{"6.1", []string{"net.*"}, "net", "net.core.somaxconn", "not allowed with host net enabled"},
		{"6.1", nil, "net", "net.ipv4.tcp_syncookies", "not allowed with host net enabled"},
		{"6.1", nil, "ipc", "net.ipv4.tcp_syncookies", ""},
		{"6.1", nil, "ipc", "kernel.shm_rmid_forced", "not allowed with host ipc enabled"},
		{"6.1", nil, "net", "kernel.shm_rmid_forced", ""},
		{"6.1", []string{"fs.mqueue.*"}, "ipc", "fs.mqueue.msg_max", "not allowed with host ipc enabled"},
	} {
		s, err := NewSysctls(c.kernel, c.allowed)
		if err != nil {
			t.Fatal(err)
		}
		p := pod("x", "0", func(p *v1.Pod) {
			p.Spec.HostNetwork, p.Spec.HostIPC = c.host == "net", c.host == "ipc"
			p.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: c.name, Value: "1"}}}
		})
		got := Pod(p, nil, nil, Host{Sysctls: s})
		switch {
		case c.refused == "" && got != nil:
			t.Errorf("%s on %s beside %v: %s", c.name, c.kernel, c.allowed, got.Message)
		case c.refused != "" && (got == nil || got.Reason != "SysctlForbidden" || got.Message != `Pod was rejected: forbidden sysctl: "`+c.name+`" `+c.refused):
			t.Errorf("%s on %s beside %v, host %q: %+v", c.name, c.kernel, c.allowed, c.host, got)
		}
	}
	for _, bad := range []string{"", "*", "vm.swappiness", "vm.*", "kernel.*", "k*", "net.*.x*", "net"} {
		if _, err := NewSysctls("6.1", []string{bad}); err == nil {
			t.Errorf("%q may be allowed", bad)
		}
	}
}

package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// CorefileOptions say what the generated Corefile is about.
type CorefileOptions struct {
	Domain string // cluster.local when empty
	// Upstreams answer for names outside of the cluster: addresses, or the path of a
	// resolv.conf. With none, such names are refused.
	Upstreams []string
	// Port, HealthPort, ReadyPort and MetricsPort default to 53, 8080, 8181 and 9153.
	Port, HealthPort, ReadyPort, MetricsPort int
}

// Corefile is the configuration of the cluster's name server.
func Corefile(o CorefileOptions) string {
	domain := strings.TrimSuffix(o.Domain, ".")
	if domain == "" {
		domain = "cluster.local"
	}
	or := func(v, d int) int {
		if v == 0 {
			return d
		}
		return v
	}
	var b strings.Builder
	if port := or(o.Port, 53); len(o.Upstreams) > 0 {
		fmt.Fprintf(&b, ".:%d {\n", port)
	} else { // other names are refused at once
		fmt.Fprintf(&b, "%s:%d in-addr.arpa:%d ip6.arpa:%d {\n", domain, port, port, port)
	}
	b.WriteString("    errors\n")
	fmt.Fprintf(&b, "    health :%d {\n        lameduck 5s\n    }\n", or(o.HealthPort, 8080))
	fmt.Fprintf(&b, "    ready :%d\n", or(o.ReadyPort, 8181))
	fmt.Fprintf(&b, "    kubernetes %s in-addr.arpa ip6.arpa {\n        pods insecure\n", domain)
	if len(o.Upstreams) > 0 {
		b.WriteString("        fallthrough in-addr.arpa ip6.arpa\n")
	}
	b.WriteString("        ttl 30\n    }\n")
	fmt.Fprintf(&b, "    prometheus :%d\n", or(o.MetricsPort, 9153))
	if len(o.Upstreams) > 0 {
		fmt.Fprintf(&b, "    forward . %s {\n        max_concurrent 1000\n    }\n", strings.Join(o.Upstreams, " "))
	}
	fmt.Fprintf(&b, "    cache 30 {\n        disable success %s\n        disable denial %s\n    }\n", domain, domain)
	if len(o.Upstreams) > 0 {
		b.WriteString("    loop\n")
	}
	b.WriteString("    reload\n    loadbalance\n}\n")
	return b.String()
}

// Files that list a host's name servers: the usual one, and systemd's where the usual
// one names only its local stub.
const (
	resolvConf  = "/etc/resolv.conf"
	systemdConf = "/run/systemd/resolve/resolv.conf"
)

// Upstreams finds the name servers of this host that a pod can use. A pod with
// dnsPolicy Default gets the host's resolv.conf, so that file is used as it is unless
// it names servers on the host's loopback, or own, the cluster's name server, as a host
// does that resolves the cluster's names: those a pod does not reach, or they would send
// queries in a circle, which ends the name server as soon as it notices.
func Upstreams(read func(path string) ([]byte, error), own ...netip.Addr) []string {
	raw, err := read(resolvConf)
	if err == nil {
		all, remote := nameServers(raw, own)
		if len(remote) > 0 && len(remote) == len(all) {
			return []string{resolvConf}
		}
		if len(remote) > 0 {
			return remote
		}
	}
	if raw, err = read(systemdConf); err == nil {
		_, remote := nameServers(raw, own)
		return remote
	}
	return nil
}

// nameServers are the addresses in a resolv.conf, and those that are neither on the host
// itself nor the cluster's own.
func nameServers(raw []byte, own []netip.Addr) (all, remote []string) {
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		if err != nil {
			continue
		}
		all = append(all, fields[1])
		if !a.IsLoopback() && !a.IsUnspecified() && a.Zone() == "" && !slices.Contains(own, a.Unmap()) {
			remote = append(remote, fields[1])
		}
	}
	return all, remote
}

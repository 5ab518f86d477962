package cri

import (
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Limits of a resolver configuration that Kubernetes promises to keep.
const (
	maxNameservers  = 3
	maxSearches     = 32
	maxSearchLength = 2048
)

// Resolver is the content of a resolv.conf.
type Resolver struct{ Servers, Searches, Options []string }

// ParseResolvConf reads a resolv.conf; the last search line counts, as in the C library.
func ParseResolvConf(data string) Resolver {
	var r Resolver
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], ";") {
			continue
		}
		switch f[0] {
		case "nameserver":
			r.Servers = append(r.Servers, f[1])
		case "search", "domain":
			r.Searches = nil
			for _, s := range f[1:] {
				if s != "." {
					s = strings.TrimSuffix(s, ".")
				}
				r.Searches = append(r.Searches, s)
			}
		case "options":
			r.Options = append(r.Options, f[1:]...)
		}
	}
	return r
}

// ReadResolvConf reads the host's configuration; a missing path is an empty one.
func ReadResolvConf(path string) (Resolver, error) {
	if path == "" {
		return Resolver{}, nil
	}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return Resolver{}, nil
	}
	if err != nil {
		return Resolver{}, fmt.Errorf("resolver configuration: %w", err)
	}
	return ParseResolvConf(string(data)), nil
}

// DNS is the cluster's name service and the host's.
type DNS struct {
	Servers []string
	Domain  string
	Host    Resolver
}

// Config renders a pod's resolver by its policy.
func (d DNS) Config(pod *v1.Pod) *runtimeapi.DNSConfig {
	r := d.resolver(pod).limited()
	return &runtimeapi.DNSConfig{Servers: r.Servers, Searches: r.Searches, Options: r.Options}
}

// Warning is something that a pod asked for and gets in part.
type Warning struct{ Reason, Message string }

// Warnings are what a pod's resolver lacks of what the pod asks for.
func (d DNS) Warnings(pod *v1.Pod) (out []Warning) {
	policy := pod.Spec.DNSPolicy
	if len(d.Servers) == 0 && (policy == v1.DNSClusterFirst && !pod.Spec.HostNetwork || policy == v1.DNSClusterFirstWithHostNet) {
		out = append(out, Warning{"MissingClusterDNS", fmt.Sprintf(
			"pod: %q. kubelet does not have ClusterDNS IP configured and cannot create Pod using %q policy. Falling back to \"Default\" policy.", podRef(pod), policy)})
	}
	all := d.resolver(pod)
	got := all.limited()
	if len(got.Servers) < len(all.Servers) {
		out = append(out, Warning{"DNSConfigForming",
			"Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: " + strings.Join(got.Servers, " ")})
	}
	if len(got.Searches) < len(all.Searches) {
		out = append(out, Warning{"DNSConfigForming",
			"Search Line limits were exceeded, some search paths have been omitted, the applied search line is: " + strings.Join(got.Searches, " ")})
	}
	return out
}

// resolver is a pod's resolver before its limits.
func (d DNS) resolver(pod *v1.Pod) Resolver {
	r := d.Host
	switch policy := pod.Spec.DNSPolicy; {
	case policy == v1.DNSNone:
		r = Resolver{}
	case len(d.Servers) > 0 && (policy == v1.DNSClusterFirstWithHostNet || policy == "" && !pod.Spec.HostNetwork ||
		policy == v1.DNSClusterFirst && !pod.Spec.HostNetwork):
		r = d.cluster(pod.Namespace)
	}
	if c := pod.Spec.DNSConfig; c != nil {
		r = r.with(c)
	}
	return r
}

func (d DNS) cluster(ns string) Resolver {
	var searches []string
	if d.Domain != "" {
		searches = []string{ns + ".svc." + d.Domain, "svc." + d.Domain, d.Domain}
	}
	return Resolver{Servers: d.Servers, Searches: unique(append(searches, d.Host.Searches...)), Options: []string{"ndots:5"}}
}

func (r Resolver) with(c *v1.PodDNSConfig) Resolver {
	r.Servers = unique(append(slices.Clone(r.Servers), c.Nameservers...))
	r.Searches = unique(append(slices.Clone(r.Searches), c.Searches...))
	r.Options = slices.Clone(r.Options)
	for _, o := range c.Options {
		text := o.Name
		if o.Value != nil && *o.Value != "" {
			text += ":" + *o.Value
		}
		at := slices.IndexFunc(r.Options, func(have string) bool {
			name, _, _ := strings.Cut(have, ":")
			return name == o.Name
		})
		if at < 0 {
			r.Options = append(r.Options, text)
		} else {
			r.Options[at] = text
		}
	}
	return r
}

func (r Resolver) limited() Resolver {
	r.Servers = r.Servers[:min(len(r.Servers), maxNameservers)]
	r.Searches = r.Searches[:min(len(r.Searches), maxSearches)]
	for len(strings.Join(r.Searches, " ")) > maxSearchLength {
		r.Searches = r.Searches[:len(r.Searches)-1]
	}
	return r
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// Hostname is a pod's host name and, if it has a subdomain, its full name in the cluster.
func Hostname(pod *v1.Pod, clusterDomain string) (name, fqdn string) {
	name = pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	if pod.Spec.HostnameOverride != nil {
		return *pod.Spec.HostnameOverride, ""
	}
	if pod.Spec.Subdomain != "" {
		fqdn = fmt.Sprintf("%s.%s.%s.svc.%s", name, pod.Spec.Subdomain, pod.Namespace, clusterDomain)
		if pod.Spec.SetHostnameAsFQDN != nil && *pod.Spec.SetHostnameAsFQDN {
			name = fqdn
		}
	}
	return name, fqdn
}

// Hosts renders a pod's /etc/hosts. host is the node's own file for pods on the host's network.
func Hosts(pod *v1.Pod, ips []string, clusterDomain string, host []byte) []byte {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.Write(host)
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n")
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
		b.WriteString("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
		name, fqdn := Hostname(pod, clusterDomain)
		for _, ip := range ips {
			switch {
			case fqdn != "" && fqdn != name:
				fmt.Fprintf(&b, "%s\t%s\t%s\n", ip, fqdn, name)
			case fqdn != "":
				short, _, _ := strings.Cut(name, ".")
				fmt.Fprintf(&b, "%s\t%s\t%s\n", ip, fqdn, short)
			default:
				fmt.Fprintf(&b, "%s\t%s\n", ip, name)
			}
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range pod.Spec.HostAliases {
			fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
		}
	}
	return []byte(b.String())
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"hyperkube/apiserver/request"
	"hyperkube/dns"
	"hyperkube/kit"
)

const (
	dnsName    = "coredns"
	dnsLabel   = "k8s-app=kube-dns"
	fieldOwner = "hyperkube-up"
)

// startDNS applies the manifests of cluster DNS and waits until it answers.
func (n *node) startDNS(ctx context.Context) error {
	c := n.c
	ip, err := ServiceIP(c.o.ServiceCIDR, 10)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return fmt.Errorf("the DNS address: %w", err)
	}
	upstreams := dns.Upstreams(os.ReadFile, addr)
	if !anyReached(servers(upstreams, os.ReadFile), routed) {
		fmt.Println("  DNS has no upstream: pods resolve names of the cluster only (/etc/resolv.conf names no server to which there is a route)")
	}
	objs := dns.Manifests(dns.ManifestOptions{
		Image: HyperkubeImage, ServiceIP: addr, Corefile: dns.CorefileOptions{Domain: c.o.ClusterDomain, Upstreams: upstreams},
	})
	if err := c.applyAll(ctx, objs); err != nil {
		return err
	}
	done := n.tellWaits(ctx, n.whyNoDNS)
	defer done()
	mine := c.shared.Scope()
	defer mine.Close()
	deployments := kit.InformerFor[*appsv1.Deployment](mine, appsv1.SchemeGroupVersion.WithResource("deployments"))
	err = await(ctx, deployments, func(d *appsv1.Deployment) bool {
		return d.Namespace == metav1.NamespaceSystem && d.Name == dnsName && d.Status.AvailableReplicas > 0
	})
	if err != nil {
		return err
	}
	return awaitAnswer(ctx, func() []string { return n.dnsAddresses(ctx, ip) }, "kubernetes.default.svc."+c.o.ClusterDomain)
}

// servers are the addresses that upstreams stand for, which may name a resolv.conf.
func servers(upstreams []string, read func(string) ([]byte, error)) []string {
	var out []string
	for _, u := range upstreams {
		if !filepath.IsAbs(u) {
			out = append(out, u)
			continue
		}
		b, err := read(u)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if w := strings.Fields(line); len(w) > 1 && w[0] == "nameserver" {
				out = append(out, w[1])
			}
		}
	}
	return out
}

func anyReached(addresses []string, reached func(net.IP) bool) bool {
	return slices.ContainsFunc(addresses, func(a string) bool {
		if host, _, err := net.SplitHostPort(a); err == nil {
			a = host
		}
		ip := net.ParseIP(a)
		return ip != nil && reached(ip)
	})
}

// routed reports whether this machine knows a way to an address.
func routed(ip net.IP) bool {
	_, err := netlink.RouteGet(ip)
	return err == nil
}

// dnsAddresses are where the name server can be asked from the host. A host without a route
// for the service's address, as one without a default route, asks a pod: pods have a route
// of their own.
func (n *node) dnsAddresses(ctx context.Context, service string) []string {
	if routed(net.ParseIP(service)) {
		return []string{service}
	}
	kube, err := n.c.client(upUser())
	if err != nil {
		return []string{service}
	}
	pods, err := kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: dnsLabel})
	if err != nil {
		return []string{service}
	}
	var out []string
	for _, p := range pods.Items {
		if p.Status.PodIP != "" {
			out = append(out, p.Status.PodIP)
		}
	}
	return out
}

// upUser is who `up` itself acts as.
func upUser() *request.User {
	return &request.User{Name: "system:hyperkube-up", Groups: []string{request.GroupMasters, request.GroupAuthenticated}}
}

// applyAll applies objects server-side, so that what a user changed in other
// fields stays.
func (c *control) applyAll(ctx context.Context, objs []runtime.Object) error {
	user := upUser()
	kube, err := c.client(user)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(c.api.Server.ClientConfig(user))
	if err != nil {
		return fmt.Errorf("client for manifests: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(kube.Discovery())
	if err != nil {
		return fmt.Errorf("reading what the API serves: %w", err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	force := true
	for _, o := range objs {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return fmt.Errorf("reading a manifest: %w", err)
		}
		u := unstructured.Unstructured{Object: fields}
		unstructured.RemoveNestedField(u.Object, "status")
		m, err := mapper.RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version)
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		body, err := json.Marshal(u.Object)
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		_, err = client.Resource(m.Resource).Namespace(u.GetNamespace()).Patch(ctx, u.GetName(), types.ApplyPatchType, body,
			metav1.PatchOptions{FieldManager: fieldOwner, Force: &force})
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// awaitAnswer asks the name servers until one knows name. An available pod
// answers at once; the proxy's rules may be a moment behind it.
func awaitAnswer(ctx context.Context, servers func() []string, name string) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		last := errors.New("it has no address")
		for _, ip := range servers() {
			once, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			_, last = resolver(ip).LookupHost(once, name+".")
			cancel()
			if last == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("DNS does not know %s: %w", name, last), ctx.Err())
		case <-tick.C:
		}
	}
}

func resolver(ip string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(ip, "53"))
	}}
}

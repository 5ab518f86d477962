package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

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
	objs := dns.Manifests(dns.ManifestOptions{
		Image: HyperkubeImage, ServiceIP: addr, Corefile: dns.CorefileOptions{Domain: c.o.ClusterDomain, Upstreams: dns.Upstreams(os.ReadFile)},
	})
	if err := c.applyAll(ctx, objs); err != nil {
		return err
	}
	mine := c.shared.Scope()
	defer mine.Close()
	deployments := kit.InformerFor[*appsv1.Deployment](mine, appsv1.SchemeGroupVersion.WithResource("deployments"))
	err = await(ctx, deployments, func(d *appsv1.Deployment) bool {
		return d.Namespace == metav1.NamespaceSystem && d.Name == dnsName && d.Status.AvailableReplicas > 0
	})
	if err != nil {
		return err
	}
	return awaitAnswer(ctx, ip, "kubernetes.default.svc."+c.o.ClusterDomain)
}

// applyAll applies objects server-side, so that what a user changed in other
// fields stays.
func (c *control) applyAll(ctx context.Context, objs []runtime.Object) error {
	user := &request.User{Name: "system:hyperkube-up", Groups: []string{request.GroupMasters, request.GroupAuthenticated}}
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

// awaitAnswer asks the name server at ip until it knows name. An available pod
// answers at once; the proxy's rules may be a moment behind it.
func awaitAnswer(ctx context.Context, ip, name string) error {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(ip, "53"))
	}}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := r.LookupHost(once, name+".")
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("DNS at %s does not know %s: %w", ip, name, err), ctx.Err())
		case <-tick.C:
		}
	}
}

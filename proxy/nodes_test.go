package proxy

import (
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/netns"
)

// TestNodesAreNotDiverted: what is sent to another node's kubelet, or to an API server, goes there, though a service
// names their addresses; all else that it names is served.
func TestNodesAreNotDiverted(t *testing.T) {
	l := newLab(t)
	client := l.pod("10.88.0.9")
	l.serve(8000, "10.88.0.2")
	const machine, apiServer, late = "10.77.0.7", "10.77.0.8", "10.77.0.9"
	for _, ip := range []string{machine, apiServer, late} {
		l.serve(10250, ip)
		l.serve(443, ip)
		l.serve(7443, ip)
	}
	l.in(l.node, func() error {
		br, err := netlink.LinkByName("cbr0")
		if err != nil {
			return err
		}
		_, net, _ := net.ParseCIDR("10.77.0.0/24")
		return netlink.RouteAdd(&netlink.Route{Dst: net, LinkIndex: br.Attrs().Index, Scope: netlink.SCOPE_LINK})
	})
	steal := func(s *corev1.Service) { s.Spec.ExternalIPs = []string{machine, apiServer, late} }
	for i, port := range []int32{10250, 7443, 443} {
		l.add(service(fmt.Sprintf("thief-%d", i), fmt.Sprintf("10.32.0.1%d", i), port, steal), 8000, "10.88.0.2")
	}
	node := func(ip string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-" + ip}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: "elsewhere"}, {Type: corev1.NodeInternalIP, Address: ip}}}}
	}
	l.api["nodes"].Add(node(machine))
	l.api["endpointslices"].Add(slice(service("kubernetes", "10.32.0.1", 443), 7443, apiServer))
	l.start()
	for _, from := range []*netns.NS{client, l.node} {
		l.reach(from, "tcp", machine+":10250", machine)
		l.reach(from, "tcp", apiServer+":7443", apiServer)
		l.reach(from, "tcp", machine+":443", "10.88.0.2")
		l.reach(from, "tcp", apiServer+":10250", "10.88.0.2")
		l.reach(from, "tcp", late+":10250", "10.88.0.2")
	}
	l.api["nodes"].Add(node(late))
	l.reach(client, "tcp", late+":10250", late)
	l.api["nodes"].Modify(node("10.77.0.77"))
	l.api["nodes"].Delete(node(late))
	l.reach(client, "tcp", late+":10250", "10.88.0.2")
}

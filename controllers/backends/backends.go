// Package backends relates services and the pods behind them: which services
// select a pod, which of its ports a service means, and which changes of a pod
// matter to services at all. Both endpoint controllers are built on it.
package backends

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/controllers/podctl"
	"hyperkube/internal/selector"
	"hyperkube/kit"
)

// selects says whether a service means the pods with these labels.
func selects(s *corev1.Service, have map[string]string) bool {
	return len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName && selector.All(s.Spec.Selector, have)
}

// Watch adds the services that a change of a pod concerns to a loop. The result concerns
// those of a pod for other reasons.
func Watch(c *kit.Controller, services *kit.Informer[*corev1.Service], pods *kit.Informer[*corev1.Pod]) (concern func(*corev1.Pod)) {
	offers := kit.Offering(c, services, selects)
	add := func(p *corev1.Pod) {
		if len(p.Labels) > 0 {
			offers.Offer(c, p.Namespace, p.Labels)
		}
	}
	kit.WatchWith(c, pods, kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) { add(p) },
		Update: func(old, p *corev1.Pod) {
			relabelled := !maps.Equal(old.Labels, p.Labels)
			if relabelled {
				add(old)
			}
			if relabelled || changed(old, p) {
				add(p)
			}
		},
		Delete: add,
	})
	return add
}

// changed reports whether an endpoint made of the pod would differ.
func changed(a, b *corev1.Pod) bool {
	return a.UID != b.UID || !slices.Equal(a.Status.PodIPs, b.Status.PodIPs) || a.Status.PodIP != b.Status.PodIP ||
		podctl.Ready(a) != podctl.Ready(b) || (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) ||
		podctl.Finished(a) != podctl.Finished(b) || a.Spec.NodeName != b.Spec.NodeName ||
		a.Spec.Hostname != b.Spec.Hostname || a.Spec.Subdomain != b.Spec.Subdomain
}

// Pods returns the pods that a service selects, sorted by name so that plans are stable.
func Pods(pods *kit.Informer[*corev1.Pod], s *corev1.Service) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods.ListIn(s.Namespace) {
		if selector.All(s.Spec.Selector, p.Labels) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// Port resolves a service's port on a pod; false when the pod has no port of that name.
func Port(p *corev1.Pod, sp *corev1.ServicePort) (int32, bool) {
	if sp.TargetPort.Type == intstr.Int {
		if n := sp.TargetPort.IntVal; n != 0 {
			return n, true
		}
		return sp.Port, true
	}
	match := func(c *corev1.Container) (int32, bool) {
		for i := range c.Ports {
			if c.Ports[i].Name == sp.TargetPort.StrVal && protocol(c.Ports[i].Protocol) == protocol(sp.Protocol) {
				return c.Ports[i].ContainerPort, true
			}
		}
		return 0, false
	}
	for i := range p.Spec.Containers {
		if n, ok := match(&p.Spec.Containers[i]); ok {
			return n, true
		}
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		if n, ok := match(c); ok {
			return n, true
		}
	}
	return 0, false
}

func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// Address is the pod's first address of a family that an endpoint may have, "" for none. What a
// kubelet reports need not be one, and one that is none must not keep the others out.
func Address(p *corev1.Pod, v6 bool) string {
	ips := p.Status.PodIPs
	if len(ips) == 0 && p.Status.PodIP != "" {
		ips = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a.Is6() == v6 && Reachable(a) {
			return ip.IP
		}
	}
	return ""
}

// Reachable reports whether an address may be an endpoint's: one that leads to the same place from
// every node, written as its family is.
func Reachable(a netip.Addr) bool {
	return a.IsValid() && !a.Is4In6() && a.Zone() == "" &&
		!a.IsUnspecified() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast()
}

// Headless reports whether a service has no address of its own.
func Headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

// Hostname is the pod's name within the service's domain, "" when it asks for none.
func Hostname(p *corev1.Pod, s *corev1.Service) string {
	if p.Spec.Hostname != "" && p.Spec.Subdomain == s.Name && p.Namespace == s.Namespace {
		return p.Spec.Hostname
	}
	return ""
}

// Trigger is the moment of the oldest change after since that the endpoints must tell of: a pod
// turning (un)ready, or the service's creation. latest is the newest such moment,
// to be given as since the next time. Zero: no such change.
func Trigger(s *corev1.Service, pods []*corev1.Pod, since time.Time) (first, latest time.Time) {
	latest = since
	see := func(t time.Time) {
		if !t.After(since) {
			return
		}
		if first.IsZero() || t.Before(first) {
			first = t
		}
		if t.After(latest) {
			latest = t
		}
	}
	see(s.CreationTimestamp.Time)
	for _, p := range pods {
		if c := podctl.Condition(p, corev1.PodReady); c != nil {
			see(c.LastTransitionTime.Time)
		}
	}
	return first, latest
}

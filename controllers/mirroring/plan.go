package mirroring

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/backends"
)

const (
	managedBy = "endpointslicemirroring-controller.k8s.io"
	most      = 1000 // addresses of a subset that are mirrored
)

// plan is the difference between the slices there are and those there should be.
type plan struct {
	create, update, remove []*discoveryv1.EndpointSlice
}

// planSlices mirrors Endpoints (nil: nothing is to be mirrored) into slices, one for each set of ports and
// address family.
func planSlices(ep *corev1.Endpoints, have []*discoveryv1.EndpointSlice) plan {
	var p plan
	want := map[string]*discoveryv1.EndpointSlice{}
	if ep != nil {
		want = mirror(ep)
	}
	slices.SortFunc(have, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range have {
		k := key(s.AddressType, s.Ports)
		w, ok := want[k]
		if !ok {
			p.remove = append(p.remove, s)
			continue
		}
		delete(want, k)
		if apiequality.Semantic.DeepEqual(s.Endpoints, w.Endpoints) && maps.Equal(s.Labels, w.Labels) && maps.Equal(s.Annotations, w.Annotations) &&
			apiequality.Semantic.DeepEqual(s.Ports, w.Ports) {
			continue
		}
		out := s.DeepCopy()
		out.Endpoints, out.Labels, out.Ports, out.Annotations, out.OwnerReferences = w.Endpoints, w.Labels, w.Ports, w.Annotations, w.OwnerReferences
		p.update = append(p.update, out)
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		p.create = append(p.create, want[k])
	}
	return p
}

// skipped are annotations that belong to the Endpoints alone.
var skipped = []string{corev1.LastAppliedConfigAnnotation, corev1.EndpointsLastChangeTriggerTime, corev1.EndpointsOverCapacity}

func mirror(ep *corev1.Endpoints) map[string]*discoveryv1.EndpointSlice {
	labels := maps.Clone(ep.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[discoveryv1.LabelServiceName], labels[discoveryv1.LabelManagedBy] = ep.Name, managedBy
	annotations := maps.Clone(ep.Annotations)
	for _, a := range skipped {
		delete(annotations, a)
	}
	out := map[string]*discoveryv1.EndpointSlice{}
	for i := range ep.Subsets {
		sub := &ep.Subsets[i]
		ports := portsOf(sub)
		add := func(a *corev1.EndpointAddress, ready bool) {
			family := discoveryv1.AddressTypeIPv4
			if ip, err := netip.ParseAddr(a.IP); err != nil || !backends.Reachable(ip) {
				return // no slice takes it
			} else if ip.Is6() {
				family = discoveryv1.AddressTypeIPv6
			}
			k := key(family, ports)
			if out[k] == nil {
				out[k] = &discoveryv1.EndpointSlice{
					ObjectMeta: metav1.ObjectMeta{GenerateName: ep.Name + "-", Namespace: ep.Namespace, Labels: labels, Annotations: annotations,
						OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(ep, endpointsKind)}},
					AddressType: family, Ports: ports,
				}
			}
			if len(out[k].Endpoints) < most {
				out[k].Endpoints = append(out[k].Endpoints, endpoint(a, ready))
			}
		}
		for j := range sub.Addresses {
			add(&sub.Addresses[j], true)
		}
		for j := range sub.NotReadyAddresses {
			add(&sub.NotReadyAddresses[j], false)
		}
	}
	return out
}

func endpoint(a *corev1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	serving, terminating := ready, false
	e := discoveryv1.Endpoint{
		Addresses: []string{a.IP}, NodeName: a.NodeName, TargetRef: a.TargetRef,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
	}
	if a.Hostname != "" {
		e.Hostname = &a.Hostname
	}
	return e
}

func portsOf(sub *corev1.EndpointSubset) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range sub.Ports {
		p := &sub.Ports[i]
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &protocol, AppProtocol: p.AppProtocol})
	}
	return ports
}

func key(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) string {
	parts := make([]string, len(ports))
	for i, p := range ports {
		parts[i] = fmt.Sprintf("%s/%d/%s", value(p.Name), value(p.Port), value(p.Protocol))
	}
	slices.Sort(parts)
	return string(family) + " " + strings.Join(parts, ",")
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

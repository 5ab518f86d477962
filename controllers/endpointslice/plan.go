package endpointslice

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/backends"
	"hyperkube/controllers/podctl"
)

const (
	managedBy  = "endpointslice-controller.k8s.io"
	maxPerOne  = 100 // endpoints in a slice
	zoneLabel  = corev1.LabelTopologyZone
	ownerField = "kubernetes.io/service-name"
)

// snapshot is all that a plan depends on.
type snapshot struct {
	service *corev1.Service
	pods    []*corev1.Pod // selected ones, in a stable order
	zones   map[string]string
	slices  []*discoveryv1.EndpointSlice // managed by us
	trigger time.Time                    // zero: nothing new to tell the time of
}

// plan is the difference between the slices there are and those there should be.
type plan struct {
	create, update, remove []*discoveryv1.EndpointSlice
}

// planSlices keeps endpoints where they are and touches as few slices as it can.
func planSlices(s snapshot) plan {
	var p plan
	byFamily := map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice{}
	families := familiesOf(s.service)
	for _, sl := range s.slices {
		if !slices.Contains(families, sl.AddressType) {
			p.remove = append(p.remove, sl)
			continue
		}
		byFamily[sl.AddressType] = append(byFamily[sl.AddressType], sl)
	}
	for _, f := range families {
		planFamily(s, f, byFamily[f], &p)
	}
	return p
}

// familiesOf are the address types a service wants slices of.
func familiesOf(s *corev1.Service) []discoveryv1.AddressType {
	var out []discoveryv1.AddressType
	for _, f := range s.Spec.IPFamilies {
		if f == corev1.IPv6Protocol {
			out = append(out, discoveryv1.AddressTypeIPv6)
		} else {
			out = append(out, discoveryv1.AddressTypeIPv4)
		}
	}
	if len(out) == 0 {
		if a, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil && a.Is6() {
			return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv6}
		}
		return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}
	}
	return out
}

// group is the endpoints that share one set of ports.
type group struct {
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

func planFamily(s snapshot, family discoveryv1.AddressType, have []*discoveryv1.EndpointSlice, p *plan) {
	groups := wanted(s, family)
	existing := map[string][]*discoveryv1.EndpointSlice{}
	slices.SortFunc(have, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	for _, sl := range have {
		k := portsKey(sl.Ports)
		existing[k] = append(existing[k], sl)
	}
	var spare []*discoveryv1.EndpointSlice // of ports nobody has any more
	for _, k := range slices.Sorted(maps.Keys(existing)) {
		if _, ok := groups[k]; !ok {
			spare = append(spare, existing[k]...)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		if len(existing[k]) == 0 && len(spare) > 0 { // reuse a slice rather than delete and create
			existing[k], spare = spare[:1], spare[1:]
		}
		planGroup(s, family, *groups[k], existing[k], p)
	}
	p.remove = append(p.remove, spare...)
}

// wanted groups the service's endpoints of a family. There is always one group, so that there is
// always a slice to see.
func wanted(s snapshot, family discoveryv1.AddressType) map[string]*group {
	groups := map[string]*group{}
	for _, pod := range s.pods {
		if podctl.Finished(pod) {
			continue
		}
		address := addressOf(pod, family)
		if address == "" {
			continue
		}
		ports := portsOf(s.service, pod)
		k := portsKey(ports)
		if groups[k] == nil {
			groups[k] = &group{ports: ports}
		}
		groups[k].endpoints = append(groups[k].endpoints, endpoint(s, pod, address))
	}
	if len(groups) == 0 {
		groups[""] = &group{}
	}
	return groups
}

func endpoint(s snapshot, pod *corev1.Pod, address string) discoveryv1.Endpoint {
	serving, terminating := podctl.Ready(pod), pod.DeletionTimestamp != nil
	ready := s.service.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{
		Addresses:  []string{address},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if n := pod.Spec.NodeName; n != "" {
		e.NodeName = &n
	}
	if z := s.zones[pod.Spec.NodeName]; z != "" {
		e.Zone = &z
	}
	if h := backends.Hostname(pod, s.service); h != "" {
		e.Hostname = &h
	}
	return e
}

func addressOf(pod *corev1.Pod, family discoveryv1.AddressType) string {
	return backends.Address(pod, family == discoveryv1.AddressTypeIPv6)
}

func portsOf(s *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range s.Spec.Ports {
		sp := &s.Spec.Ports[i]
		n, ok := backends.Port(pod, sp)
		if !ok {
			continue
		}
		name, protocol := sp.Name, sp.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Port: &n, Protocol: &protocol, AppProtocol: sp.AppProtocol})
	}
	return ports
}

// portsKey is the same for the same ports in any order.
func portsKey(ports []discoveryv1.EndpointPort) string {
	keys := make([]string, len(ports))
	for i, p := range ports {
		keys[i] = fmt.Sprintf("%s/%d/%s/%s", deref(p.Name), deref(p.Port), deref(p.Protocol), deref(p.AppProtocol))
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// planGroup fits the endpoints of a group into the slices it has.
func planGroup(s snapshot, family discoveryv1.AddressType, g group, have []*discoveryv1.EndpointSlice, p *plan) {
	missing := map[string]discoveryv1.Endpoint{}
	var order []string
	for _, e := range g.endpoints {
		k := identity(e)
		if _, twice := missing[k]; !twice {
			order = append(order, k)
		}
		missing[k] = e
	}
	work := make([]*edit, 0, len(have)+1)
	for _, sl := range have {
		w := &edit{slice: sl, dirty: !sameMeta(s, sl) || portsKey(sl.Ports) != portsKey(g.ports)}
		for _, e := range sl.Endpoints {
			k := identity(e)
			want, ok := missing[k]
			if !ok {
				w.dirty = true // gone, or already in an earlier slice
				continue
			}
			delete(missing, k)
			if !apiequality.Semantic.DeepEqual(e, want) {
				w.dirty = true
			}
			w.endpoints = append(w.endpoints, want)
		}
		work = append(work, w)
	}
	var rest []discoveryv1.Endpoint
	for _, k := range order {
		if e, ok := missing[k]; ok {
			rest = append(rest, e)
		}
	}
	emit(s, family, g.ports, place(work, rest), p)
}

// emit drops the slices that became empty, but for one when nothing else is left.
func emit(s snapshot, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, work []*edit, p *plan) {
	filled := func(w *edit) bool { return len(w.endpoints) > 0 }
	if !slices.ContainsFunc(work, filled) {
		if len(work) == 0 {
			work = append(work, &edit{})
		}
		work[0].emit(s, family, ports, p)
		work = work[1:]
	}
	for _, w := range work {
		if filled(w) {
			w.emit(s, family, ports, p)
		} else {
			p.remove = append(p.remove, w.slice)
		}
	}
}

// edit is a slice being filled; slice is nil for a new one.
type edit struct {
	slice     *discoveryv1.EndpointSlice
	endpoints []discoveryv1.Endpoint
	dirty     bool
}

// place puts endpoints that have no slice yet first where a write is due anyway, then where
// all that is left fits, then into new slices.
func place(work []*edit, rest []discoveryv1.Endpoint) []*edit {
	fill := func(w *edit) {
		n := min(maxPerOne-len(w.endpoints), len(rest))
		if n > 0 {
			w.endpoints = append(w.endpoints, rest[:n]...)
			rest, w.dirty = rest[n:], true
		}
	}
	for _, w := range work {
		if w.dirty {
			fill(w)
		}
	}
	if len(rest) > 0 && len(rest) < maxPerOne {
		for _, w := range work {
			if maxPerOne-len(w.endpoints) >= len(rest) {
				fill(w)
				break
			}
		}
	}
	for len(rest) > 0 {
		w := &edit{}
		fill(w)
		work = append(work, w)
	}
	return work
}

func identity(e discoveryv1.Endpoint) string {
	k := strings.Join(e.Addresses, ",")
	if e.TargetRef != nil {
		k += "/" + string(e.TargetRef.UID)
	}
	return k
}

// emit adds the edit to the plan when it changes anything.
func (w *edit) emit(s snapshot, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, p *plan) {
	if w.slice != nil && !w.dirty {
		return
	}
	out := &discoveryv1.EndpointSlice{AddressType: family}
	if w.slice != nil {
		out = w.slice.DeepCopy()
	} else {
		out.Namespace, out.GenerateName = s.service.Namespace, s.service.Name+"-"
	}
	out.Labels = labelsFor(s.service)
	out.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s.service, serviceKind)}
	out.Ports, out.Endpoints = ports, w.endpoints
	if out.Endpoints == nil {
		out.Endpoints = []discoveryv1.Endpoint{}
	}
	if !s.trigger.IsZero() {
		if out.Annotations == nil {
			out.Annotations = map[string]string{}
		}
		out.Annotations[corev1.EndpointsLastChangeTriggerTime] = s.trigger.UTC().Format(time.RFC3339Nano)
	} else {
		delete(out.Annotations, corev1.EndpointsLastChangeTriggerTime)
	}
	if w.slice != nil {
		p.update = append(p.update, out)
	} else {
		p.create = append(p.create, out)
	}
}

// labelsFor are the service's labels and our own.
func labelsFor(s *corev1.Service) map[string]string {
	out := maps.Clone(s.Labels)
	if out == nil {
		out = map[string]string{}
	}
	delete(out, corev1.IsHeadlessService)
	if backends.Headless(s) {
		out[corev1.IsHeadlessService] = ""
	}
	out[ownerField] = s.Name
	out[discoveryv1.LabelManagedBy] = managedBy
	return out
}

func sameMeta(s snapshot, sl *discoveryv1.EndpointSlice) bool {
	return maps.Equal(sl.Labels, labelsFor(s.service)) && metav1.IsControlledBy(sl, s.service)
}

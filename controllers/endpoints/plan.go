package endpoints

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/backends"
	"hyperkube/controllers/podctl"
)

const (
	maxAddresses = 1000 // in one object; more are left out
	managedLabel = "endpoints.kubernetes.io/managed-by"
	managedBy    = "endpoint-controller"
	truncated    = "truncated"
)

// snapshot is all that a plan depends on.
type snapshot struct {
	service *corev1.Service
	pods    []*corev1.Pod
	have    *corev1.Endpoints // nil when there are none
	trigger time.Time
}

// planEndpoints returns the Endpoints to write, or nil when those there are will do.
func planEndpoints(s snapshot) *corev1.Endpoints {
	subsets, over := subsetsOf(s)
	labels := maps.Clone(s.service.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, corev1.IsHeadlessService)
	if backends.Headless(s.service) {
		labels[corev1.IsHeadlessService] = ""
	}
	labels[managedLabel] = managedBy
	out := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: s.service.Name, Namespace: s.service.Namespace}}
	if s.have != nil {
		if apiequality.Semantic.DeepEqual(s.have.Subsets, subsets) && maps.Equal(s.have.Labels, labels) &&
			(s.have.Annotations[corev1.EndpointsOverCapacity] == truncated) == over {
			return nil
		}
		out = s.have.DeepCopy()
	}
	out.Labels, out.Subsets = labels, subsets
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	note := func(key, value string, set bool) {
		if set {
			out.Annotations[key] = value
		} else {
			delete(out.Annotations, key)
		}
	}
	note(corev1.EndpointsLastChangeTriggerTime, s.trigger.UTC().Format(time.RFC3339Nano), !s.trigger.IsZero())
	note(corev1.EndpointsOverCapacity, truncated, over)
	return out
}

// subsetsOf groups the pods' addresses by the ports they have.
func subsetsOf(s snapshot) (subsets []corev1.EndpointSubset, over bool) {
	groups := map[string]*corev1.EndpointSubset{}
	count := 0
	for _, pod := range inOrder(s.pods) {
		address, ok := addressOf(s.service, pod)
		if !ok {
			continue
		}
		ports := portsOf(s.service, pod)
		if len(ports) == 0 && len(s.service.Spec.Ports) > 0 {
			continue
		}
		if count == maxAddresses {
			over = true
			break
		}
		count++
		k := portsKey(ports)
		if groups[k] == nil {
			groups[k] = &corev1.EndpointSubset{Ports: ports}
		}
		if podctl.Ready(pod) || s.service.Spec.PublishNotReadyAddresses {
			groups[k].Addresses = append(groups[k].Addresses, address)
		} else {
			groups[k].NotReadyAddresses = append(groups[k].NotReadyAddresses, address)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		byIP := func(a, b corev1.EndpointAddress) int { return cmp.Compare(a.IP, b.IP) }
		slices.SortFunc(groups[k].Addresses, byIP)
		slices.SortFunc(groups[k].NotReadyAddresses, byIP)
		subsets = append(subsets, *groups[k])
	}
	return subsets, over
}

// inOrder brings more pods than there is room for into an order that stays: the ready ones first.
func inOrder(pods []*corev1.Pod) []*corev1.Pod {
	if len(pods) <= maxAddresses {
		return pods
	}
	rank := func(p *corev1.Pod) int {
		if podctl.Ready(p) {
			return 0
		}
		return 1
	}
	return slices.SortedFunc(slices.Values(pods), func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
}

func addressOf(s *corev1.Service, pod *corev1.Pod) (corev1.EndpointAddress, bool) {
	if podctl.Finished(pod) || pod.DeletionTimestamp != nil && !s.Spec.PublishNotReadyAddresses {
		return corev1.EndpointAddress{}, false
	}
	v6 := len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol
	ip := backends.Address(pod, v6)
	if ip == "" {
		return corev1.EndpointAddress{}, false
	}
	out := corev1.EndpointAddress{
		IP: ip, Hostname: backends.Hostname(pod, s),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if n := pod.Spec.NodeName; n != "" {
		out.NodeName = &n
	}
	return out, true
}

func portsOf(s *corev1.Service, pod *corev1.Pod) []corev1.EndpointPort {
	var ports []corev1.EndpointPort
	for i := range s.Spec.Ports {
		sp := &s.Spec.Ports[i]
		if n, ok := backends.Port(pod, sp); ok {
			ports = append(ports, corev1.EndpointPort{Name: sp.Name, Port: n, Protocol: sp.Protocol, AppProtocol: sp.AppProtocol})
		}
	}
	return ports
}

func portsKey(ports []corev1.EndpointPort) string {
	keys := make([]string, len(ports))
	for i, p := range ports {
		app := ""
		if p.AppProtocol != nil {
			app = *p.AppProtocol
		}
		keys[i] = fmt.Sprintf("%s/%d/%s/%s", p.Name, p.Port, p.Protocol, app)
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

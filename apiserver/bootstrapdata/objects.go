package bootstrapdata

import (
	"encoding/json"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/api/scheduling"
)

const (
	serviceName = "kubernetes"
	portName    = "https"
	servicePort = 443
)

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
		Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
}

func priorityClasses() []*schedulingv1.PriorityClass {
	list := scheduling.SystemClasses()
	for _, c := range list {
		c.Generation = 1
	}
	return list
}

func (w *writer) family() (corev1.IPFamily, discoveryv1.AddressType) {
	if w.ServiceIP.Is6() {
		return corev1.IPv6Protocol, discoveryv1.AddressTypeIPv6
	}
	return corev1.IPv4Protocol, discoveryv1.AddressTypeIPv4
}

func (w *writer) service() *corev1.Service {
	family, _ := w.family()
	policy, internal := corev1.IPFamilyPolicySingleStack, corev1.ServiceInternalTrafficPolicyCluster
	ip := w.ServiceIP.String()
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: serviceName,
			Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip},
			IPFamilies: []corev1.IPFamily{family}, IPFamilyPolicy: &policy,
			SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: &internal,
			Ports: []corev1.ServicePort{{
				Name: portName, Protocol: corev1.ProtocolTCP, Port: servicePort, TargetPort: intstr.FromInt32(int32(w.Advertise.Port())),
			}},
		},
	}
}

func (w *writer) endpoints(servers []netip.Addr) *corev1.Endpoints {
	var addresses []corev1.EndpointAddress
	for _, a := range servers {
		addresses = append(addresses, corev1.EndpointAddress{IP: a.String()})
	}
	return &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: serviceName, Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"},
		},
		Subsets: []corev1.EndpointSubset{{
			Addresses: addresses,
			Ports:     []corev1.EndpointPort{{Name: portName, Port: int32(w.Advertise.Port()), Protocol: corev1.ProtocolTCP}},
		}},
	}
}

func (w *writer) endpointSlice(servers []netip.Addr) *discoveryv1.EndpointSlice {
	_, family := w.family()
	name, proto, port, ready := portName, corev1.ProtocolTCP, int32(w.Advertise.Port()), true
	var endpoints []discoveryv1.Endpoint
	for _, a := range servers {
		endpoints = append(endpoints, discoveryv1.Endpoint{
			Addresses: []string{a.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: serviceName, Generation: 1, Labels: map[string]string{discoveryv1.LabelServiceName: serviceName},
		},
		AddressType: family,
		Endpoints:   endpoints,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &proto}},
	}
}

func (w *writer) serviceCIDR() *networkingv1.ServiceCIDR {
	o := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: serviceName, Generation: 1}}
	for _, p := range w.Services {
		o.Spec.CIDRs = append(o.Spec.CIDRs, p.String())
	}
	o.Status.Conditions = []metav1.Condition{{
		Type: networkingv1.ServiceCIDRConditionReady, Status: metav1.ConditionTrue, LastTransitionTime: w.now,
		Message: "Kubernetes default Service CIDR is ready",
	}}
	return o
}

// authentication is where extension servers learn whom this one trusts.
func (w *writer) authentication() *corev1.ConfigMap {
	m := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication"},
		Data:       map[string]string{"client-ca-file": string(w.ClientCA)},
	}
	if len(w.RequestHeaderCA) > 0 {
		m.Data["requestheader-client-ca-file"] = string(w.RequestHeaderCA)
		m.Data["requestheader-allowed-names"] = list(w.RequestHeaderNames...)
		m.Data["requestheader-username-headers"] = list("X-Remote-User")
		m.Data["requestheader-uid-headers"] = list("X-Remote-Uid")
		m.Data["requestheader-group-headers"] = list("X-Remote-Group")
		m.Data["requestheader-extra-headers-prefix"] = list("X-Remote-Extra-")
	}
	return m
}

func list(items ...string) string {
	if items == nil {
		items = []string{}
	}
	b, err := json.Marshal(items)
	if err != nil { // strings always encode
		panic(err)
	}
	return string(b)
}

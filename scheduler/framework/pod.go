package framework

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Pod is a pod with what scheduling needs worked out once.
type Pod struct {
	*corev1.Pod
	Request Resource
	// Weight is what the pod counts for when nodes are compared: containers that
	// request nothing count for DefaultMilliCPU and DefaultMemory.
	Weight   Weight
	Ports    []Port
	Required nodeaffinity.RequiredNodeAffinity
	// Owner is the controller's uid, empty for a bare pod: replicas of one owner are spread.
	Owner types.UID
	// Affinity terms, nil slices when the pod has none.
	Affinity, AntiAffinity                   []Term
	PreferredAffinity, PreferredAntiAffinity []WeightedTerm
	// Together is what its required affinity terms ask as one: a query for each of their topology keys.
	Together []CountQuery
	// TooMuch says why the pod is not placed at all, "" for nothing: it asks for more than is compared.
	TooMuch string
	// Holds are all its terms as pods that come later see them.
	Holds []Hold
	// NamespaceSelectors is set when a term depends on the labels of namespaces.
	NamespaceSelectors bool
	// Node is where the pod is, or is assumed to be; nil while pending.
	Node *Node
}

// Port is a host port that a pod claims on its node.
type Port struct {
	IP, Protocol string // IP "" is all addresses
	Number       int32
}

// Compile works out a pod. namespaceLabels resolves namespace selectors; it may be nil.
func Compile(p *corev1.Pod, namespaces NamespaceSelector) (*Pod, error) {
	c := &Pod{Pod: p, Request: requestOf(p), Ports: portsOf(p), Required: nodeaffinity.GetRequiredNodeAffinity(p)}
	c.Weight = weightOf(p, c.Request)
	c.TooMuch = tooMuch(p)
	if o := metav1.GetControllerOfNoCopy(p); o != nil {
		c.Owner = o.UID
	}
	return c, c.compileAffinity(namespaces)
}

// Priority of the pod, 0 when admission set none.
func (p *Pod) Priority() int32 { return corehelpers.PodPriority(p.Pod) }

// portsOf lists the host ports of containers and sidecars; those of init
// containers that end before the pod runs do not count.
func portsOf(p *corev1.Pod) []Port {
	var out []Port
	for i := range p.Spec.Containers {
		out = appendPorts(out, &p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = appendPorts(out, c)
		}
	}
	return out
}

func appendPorts(out []Port, c *corev1.Container) []Port {
	for _, port := range c.Ports {
		if port.HostPort == 0 {
			continue
		}
		ip := port.HostIP
		if ip == "0.0.0.0" || ip == "::" {
			ip = ""
		}
		proto := string(port.Protocol)
		if proto == "" {
			proto = "TCP"
		}
		out = append(out, Port{ip, proto, port.HostPort})
	}
	return out
}

// Conflicts reports whether two claims cannot live on one node.
func (a Port) Conflicts(b Port) bool {
	return a.Number == b.Number && a.Protocol == b.Protocol && (a.IP == b.IP || a.IP == "" || b.IP == "")
}

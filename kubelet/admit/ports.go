package admit

import (
	"cmp"
	"fmt"

	v1 "k8s.io/api/core/v1"

	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/status"
)

// Port is one that something takes on the node. No address, or 0.0.0.0 or ::, means all.
type Port struct {
	Protocol v1.Protocol // TCP when empty
	IP       string
	Port     int32
}

func (p Port) any() bool { return p.IP == "" || p.IP == "0.0.0.0" || p.IP == "::" }

// meets tells whether two cannot be taken side by side.
func (p Port) meets(o Port) bool {
	return p.Port == o.Port && cmp.Or(p.Protocol, v1.ProtocolTCP) == cmp.Or(o.Protocol, v1.ProtocolTCP) && (p.any() || o.any() || p.IP == o.IP)
}

// HasHostPorts tells whether a pod takes ports of the node.
func HasHostPorts(pod *v1.Pod) bool { return len(hostPorts(pod)) > 0 }

// ports refuses a pod whose ports others have, or listeners of the host's own.
func ports(pod *v1.Pod, here []*v1.Pod, host func() ([]Port, error)) *status.Final {
	want := hostPorts(pod)
	if len(want) == 0 {
		return nil
	}
	var taken []Port
	for _, p := range here {
		if p.UID != pod.UID {
			taken = append(taken, hostPorts(p)...)
		}
	}
	if host != nil {
		own, err := host()
		if err != nil {
			return reject("UnexpectedAdmissionError", fmt.Sprintf("Unexpected error while looking at the ports that the node itself uses: %v", err))
		}
		taken = append(taken, own...)
	}
	for _, w := range want {
		for _, t := range taken {
			if w.meets(t) {
				return reject("NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
			}
		}
	}
	return nil
}

// hostPorts are the node's ports that a pod takes while it runs: those of main containers and sidecars.
func hostPorts(pod *v1.Pod) (out []Port) {
	add := func(c *v1.Container) {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				out = append(out, Port{p.Protocol, p.HostIP, p.HostPort})
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; cri.Restartable(c) {
			add(c)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return out
}

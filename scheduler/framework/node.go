package framework

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Node is a node and the pods on it. Only the snapshot changes it.
//
// Taints and Cordoned repeat what the object says: filters look at every node,
// and one memory access less for each is a good part of their cost.
type Node struct {
	*corev1.Node
	Taints      []corev1.Taint
	Cordoned    bool
	Allocatable Resource
	Requested   Resource
	Weight      Weight // of the pods
	// Nominated are pending pods for which room was made here.
	Nominated []*Pod
	Pods      []*Pod
	Ports     []Port
	Images    map[string]int64 // image name → bytes
}

// NewNode compiles a node without pods.
func NewNode(n *corev1.Node) *Node {
	out := &Node{}
	out.Set(n)
	return out
}

// Set takes a newer state of the same node.
func (n *Node) Set(o *corev1.Node) {
	n.Node, n.Taints, n.Cordoned = o, o.Spec.Taints, o.Spec.Unschedulable
	n.Allocatable = ResourceOf(o.Status.Allocatable)
	n.Images = nil
	for _, img := range o.Status.Images {
		if n.Images == nil {
			n.Images = make(map[string]int64, len(o.Status.Images))
		}
		for _, name := range img.Names {
			n.Images[ImageName(name)] = img.SizeBytes
		}
	}
}

// Add puts a pod on the node.
func (n *Node) Add(p *Pod) {
	n.Pods = append(n.Pods, p)
	n.Requested.Add(p.Request)
	n.Weight.MilliCPU += p.Weight.MilliCPU
	n.Weight.Memory += p.Weight.Memory
	n.Ports = append(n.Ports, p.Ports...)
	p.Node = n
}

// Remove takes a pod off the node.
func (n *Node) Remove(p *Pod) {
	i := slices.Index(n.Pods, p)
	if i < 0 {
		return
	}
	last := len(n.Pods) - 1
	n.Pods[i] = n.Pods[last]
	n.Pods[last] = nil
	n.Pods = n.Pods[:last]
	n.Requested.Sub(p.Request)
	n.Weight.MilliCPU -= p.Weight.MilliCPU
	n.Weight.Memory -= p.Weight.Memory
	for _, port := range p.Ports {
		if j := slices.Index(n.Ports, port); j >= 0 {
			n.Ports = slices.Delete(n.Ports, j, j+1)
		}
	}
	p.Node = nil
}

// ImageName adds the tag that is meant when there is none.
func ImageName(name string) string {
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, '/') {
		return name + ":latest"
	}
	return name
}

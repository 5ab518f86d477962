package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// compute renders the status of now.
func (a *Agent) compute(ctx context.Context, base *v1.Node) v1.NodeStatus {
	rt := a.ask(ctx)
	if rt.Version == "" {
		rt.Version = base.Status.NodeInfo.ContainerRuntimeVersion
	}
	s := *base.Status.DeepCopy()
	s.Capacity, s.Allocatable = a.machine.capacity(a.o), a.machine.allocatable(a.o)
	// What others say that the node has besides (extended resources) is theirs to say.
	for name, q := range base.Status.Capacity {
		if _, own := s.Capacity[name]; !own && !native(name) {
			s.Capacity[name], s.Allocatable[name] = q, q
		}
	}
	s.NodeInfo = a.machine.info(a.o.Version, rt.Version)
	s.DaemonEndpoints = v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: a.o.Port}}
	s.Addresses = nil
	for _, ip := range a.o.IPs {
		s.Addresses = append(s.Addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: ip})
	}
	s.Addresses = append(s.Addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: a.o.Name})
	if a.images != nil {
		s.Images = a.images
	}
	s.RuntimeHandlers, s.Features = rt.Handlers, rt.Features
	now := metav1.Time{Time: time.Now()}.Rfc3339Copy()
	use := ReadUse(a.o.RootDir)
	s.Conditions = conditions(base.Status.Conditions, now, use, rt)
	a.mu.Lock()
	a.ready = rt.NotReady == "" && rt.NetworkNotReady == ""
	a.mu.Unlock()
	return s
}

// native resources are the kubelet's own to report: those without a domain, or of kubernetes.io.
func native(name v1.ResourceName) bool {
	domain, _, qualified := strings.Cut(string(name), "/")
	return !qualified || domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
}

// ask returns what the runtime says of itself, from memory while it was well a short time ago.
func (a *Agent) ask(ctx context.Context) RuntimeState {
	if !a.toldAt.IsZero() && time.Since(a.toldAt) < askEvery {
		return a.told
	}
	rt, err := a.o.Runtime(ctx)
	if err != nil {
		rt.NotReady = "container runtime is down: " + err.Error()
	} else if images, err := a.o.Images(ctx); err == nil {
		a.images = images
	}
	well := rt.NotReady == "" && rt.NetworkNotReady == ""
	patient := a.patient(err != nil, well)
	a.mu.Lock()
	a.away = patient
	a.mu.Unlock()
	if patient {
		return a.told
	}
	a.told, a.toldAt = rt, time.Time{}
	if well {
		a.toldAt = time.Now()
	}
	return rt
}

// patient tells whether a runtime that was well and went away, or is just coming back, still counts as it was.
func (a *Agent) patient(gone, well bool) bool {
	switch {
	case well:
		a.since = time.Time{}
		return false
	case gone && a.since.IsZero() && a.told.Version != "" && a.told.NotReady == "" && a.told.NetworkNotReady == "":
		a.since = time.Now()
	}
	return !a.since.IsZero() && time.Since(a.since) < patience
}

// takeOver has a runtime that was well when an earlier kubelet ended count as well for as long as it may be away:
// whoever started both again starts the runtime beside the kubelet, and containers ran on. Told at once, it would
// take all the node's pods out of their services. After a boot nothing runs, and the runtime is believed.
func (a *Agent) takeOver(s *v1.NodeStatus) {
	c := find(s.Conditions, v1.NodeReady)
	if a.told.Version != "" || c == nil || c.Status != v1.ConditionTrue || s.NodeInfo.BootID != a.machine.BootID {
		return
	}
	a.told = RuntimeState{Version: s.NodeInfo.ContainerRuntimeVersion, Handlers: s.RuntimeHandlers, Features: s.Features}
	a.since = time.Now()
}

// ownConditions are those of every kubelet.
var ownConditions = []v1.NodeConditionType{v1.NodeMemoryPressure, v1.NodeDiskPressure, v1.NodePIDPressure, v1.NodeReady}

// conditions renders the four conditions of every kubelet and keeps those of others.
func conditions(old []v1.NodeCondition, now metav1.Time, use Use, rt RuntimeState) []v1.NodeCondition {
	own := []v1.NodeCondition{
		pressure(v1.NodeMemoryPressure, use.MemoryLow, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
			"KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		pressure(v1.NodeDiskPressure, use.DiskLow, "KubeletHasDiskPressure", "kubelet has disk pressure",
			"KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		pressure(v1.NodePIDPressure, use.PIDsLow, "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
			"KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		ready(rt),
	}
	var out []v1.NodeCondition
	for _, c := range old {
		if find(own, c.Type) == nil {
			out = append(out, c)
		}
	}
	for _, c := range own {
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		if was := find(old, c.Type); was != nil && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		out = append(out, c)
	}
	return out
}

func find(list []v1.NodeCondition, t v1.NodeConditionType) *v1.NodeCondition {
	for i := range list {
		if list[i].Type == t {
			return &list[i]
		}
	}
	return nil
}

func pressure(t v1.NodeConditionType, low bool, badReason, bad, goodReason, good string) v1.NodeCondition {
	if low {
		return v1.NodeCondition{Type: t, Status: v1.ConditionTrue, Reason: badReason, Message: bad}
	}
	return v1.NodeCondition{Type: t, Status: v1.ConditionFalse, Reason: goodReason, Message: good}
}

func ready(rt RuntimeState) v1.NodeCondition {
	var why []string
	if rt.NotReady != "" {
		why = append(why, rt.NotReady)
	}
	if rt.NetworkNotReady != "" {
		why = append(why, fmt.Sprintf("container runtime network not ready: %s", rt.NetworkNotReady))
	}
	if len(why) > 0 {
		return v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionFalse, Reason: "KubeletNotReady", Message: strings.Join(why, ", ")}
	}
	return v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"}
}

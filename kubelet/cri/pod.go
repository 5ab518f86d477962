package cri

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is what the runtime knows of one pod. The zero value is a pod that the runtime does not know.
// States only move forward (created → running → exited, ready → not ready): an event that was sent before
// an action's own result cannot take it back.
type Pod struct {
	Sandboxes  []*runtimeapi.PodSandboxStatus // newest first
	Containers []*runtimeapi.ContainerStatus  // newest attempt first
}

// ID names a pod as the runtime's labels do.
type ID struct{ Namespace, Name, UID string }

// Clone returns a copy that shares the (never modified) entries.
func (p *Pod) Clone() Pod {
	return Pod{Sandboxes: slices.Clone(p.Sandboxes), Containers: slices.Clone(p.Containers)}
}

// Merge takes in a newer view of one sandbox and, if given, of containers.
func (p *Pod) Merge(sb *runtimeapi.PodSandboxStatus, containers ...*runtimeapi.ContainerStatus) {
	if sb != nil {
		p.mergeSandbox(sb)
	}
	for _, c := range containers {
		p.mergeContainer(c)
	}
}

func (p *Pod) mergeSandbox(sb *runtimeapi.PodSandboxStatus) {
	for i, old := range p.Sandboxes {
		if old.Id != sb.Id {
			continue
		}
		if old.State > sb.State {
			sb = proto.CloneOf(sb)
			sb.State = old.State
		}
		if sb.Network.GetIp() == "" && old.Network.GetIp() != "" {
			sb = proto.CloneOf(sb)
			sb.Network = old.Network
		}
		p.Sandboxes[i] = sb
		return
	}
	p.Sandboxes = append(p.Sandboxes, sb)
	slices.SortStableFunc(p.Sandboxes, func(a, b *runtimeapi.PodSandboxStatus) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
}

func (p *Pod) mergeContainer(c *runtimeapi.ContainerStatus) {
	for i, old := range p.Containers {
		if old.Id == c.Id {
			if rank(c.State) >= rank(old.State) {
				p.Containers[i] = c
			}
			return
		}
	}
	p.Containers = append(p.Containers, c)
	slices.SortStableFunc(p.Containers, func(a, b *runtimeapi.ContainerStatus) int {
		return cmp.Or(cmp.Compare(b.Metadata.GetAttempt(), a.Metadata.GetAttempt()), cmp.Compare(b.CreatedAt, a.CreatedAt))
	})
}

func rank(s runtimeapi.ContainerState) int {
	switch s {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		return 1
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		return 2
	case runtimeapi.ContainerState_CONTAINER_EXITED:
		return 3
	}
	return 0
}

// Past tells whether a container in that state has come to the least one, or further.
func Past(s, least runtimeapi.ContainerState) bool { return rank(s) >= rank(least) }

// RemoveContainer forgets a container.
func (p *Pod) RemoveContainer(id string) {
	p.Containers = slices.DeleteFunc(p.Containers, func(c *runtimeapi.ContainerStatus) bool { return c.Id == id })
}

// RemoveSandbox forgets a sandbox.
func (p *Pod) RemoveSandbox(id string) {
	p.Sandboxes = slices.DeleteFunc(p.Sandboxes, func(s *runtimeapi.PodSandboxStatus) bool { return s.Id == id })
}

// Sandbox returns the newest sandbox, ready or not; nil when there is none.
func (p *Pod) Sandbox() *runtimeapi.PodSandboxStatus {
	if len(p.Sandboxes) == 0 {
		return nil
	}
	return p.Sandboxes[0]
}

// ReadySandbox returns the newest sandbox if it is ready.
func (p *Pod) ReadySandbox() *runtimeapi.PodSandboxStatus {
	if sb := p.Sandbox(); sb != nil && sb.State == runtimeapi.PodSandboxState_SANDBOX_READY {
		return sb
	}
	return nil
}

// DeadSandboxes are the ids of sandboxes that stopped by themselves or were left by a runtime that was killed.
func (p *Pod) DeadSandboxes() []string {
	var out []string
	for _, sb := range p.Sandboxes {
		if sb.State != runtimeapi.PodSandboxState_SANDBOX_READY {
			out = append(out, sb.Id)
		}
	}
	return out
}

// Container returns the newest container of that name; nil when there is none.
func (p *Pod) Container(name string) *runtimeapi.ContainerStatus {
	for _, c := range p.Containers {
		if c.Metadata.GetName() == name {
			return c
		}
	}
	return nil
}

// Previous returns the container before the newest one of that name.
func (p *Pod) Previous(name string) *runtimeapi.ContainerStatus {
	seen := false
	for _, c := range p.Containers {
		if c.Metadata.GetName() != name {
			continue
		}
		if seen {
			return c
		}
		seen = true
	}
	return nil
}

// IPs are the addresses of the newest sandbox.
func (p *Pod) IPs() []string {
	sb := p.Sandbox()
	if sb.GetNetwork().GetIp() == "" {
		return nil
	}
	out := []string{sb.Network.Ip}
	for _, a := range sb.Network.AdditionalIps {
		out = append(out, a.Ip)
	}
	return out
}

// ListPods reads everything the kubelet's pods have in the runtime.
func (c *Client) ListPods(ctx context.Context) (map[ID]*Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sbs, err := c.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	out := map[ID]*Pod{}
	for _, sb := range sbs.Items {
		id, ok := IDOf(sb.Labels)
		if !ok {
			continue
		}
		st, err := c.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: sb.Id})
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		podAt(out, id).Merge(st.Status)
	}
	return out, c.listContainers(ctx, out)
}

func (c *Client) listContainers(ctx context.Context, out map[ID]*Pod) error {
	cs, err := c.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, item := range cs.Containers {
		id, ok := IDOf(item.Labels)
		if !ok {
			continue
		}
		st, err := c.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: item.Id})
		if IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		podAt(out, id).Merge(nil, st.Status)
	}
	return nil
}

func podAt(m map[ID]*Pod, id ID) *Pod {
	if m[id] == nil {
		m[id] = &Pod{}
	}
	return m[id]
}

// IDOf reads a pod's identity from runtime labels.
func IDOf(labels map[string]string) (ID, bool) {
	id := ID{Namespace: labels[LabelPodNamespace], Name: labels[LabelPodName], UID: labels[LabelPodUID]}
	return id, id.UID != ""
}

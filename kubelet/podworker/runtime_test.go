package podworker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/kubelet/cri"
)

// faulty is a runtime whose calls fail when they are told to. It does what containerd does as far as pods can tell.
type faulty struct {
	runtimeapi.RuntimeServiceClient
	runtimeapi.ImageServiceClient

	mu         sync.Mutex
	seq        int
	sandboxes  map[string]*runtimeapi.PodSandboxStatus
	containers map[string]*runtimeapi.ContainerStatus
	in         map[string]string // sandbox of a container
	fails      map[string]error  // by call; "*" for all
	calls      map[string]int
	dying      time.Duration // how long a container takes to stop
	stopping   int           // now, and most at once
	most       int
	cut        int // how many were killed before that
	emit       func(*runtimeapi.ContainerEventResponse)
}

func newFaulty() *faulty {
	return &faulty{sandboxes: map[string]*runtimeapi.PodSandboxStatus{}, containers: map[string]*runtimeapi.ContainerStatus{}, in: map[string]string{},
		fails: map[string]error{}, calls: map[string]int{}}
}

func (f *faulty) client() *cri.Client { return &cri.Client{Runtime: f, Images: f} }

var errOdd = errors.New("odd")

// called counts a call and says how it fails.
func (f *faulty) called(name string) error {
	f.calls[name]++
	if f.fails[name] == errOdd {
		panic("odd input")
	}
	if err := f.fails["*"]; err != nil {
		return err
	}
	return f.fails[name]
}

func (f *faulty) told(word string) error {
	switch word {
	case "late": // it is given up on, and goes on by itself
		return status.Error(codes.DeadlineExceeded, "context deadline exceeded: the container runtime has not answered CreateContainer within 2m0s")
	case "reserved":
		return status.Error(codes.Unknown, `failed to reserve container name "x": name "x" is reserved for "y"`)
	case "starting":
		return status.Error(codes.Unknown, "failed to set removing state: container is in starting state, can't be removed")
	case "gone":
		return status.Error(codes.Unavailable, "connection refused")
	case "panic":
		return errOdd
	}
	return status.Error(codes.Unknown, word)
}

func (f *faulty) event(sandbox string, id string, t runtimeapi.ContainerEventType) {
	if f.emit == nil || f.fails["*"] != nil {
		return
	}
	ev := &runtimeapi.ContainerEventResponse{ContainerId: id, ContainerEventType: t, PodSandboxStatus: f.sandboxes[sandbox]}
	for c, sb := range f.in {
		if sb == sandbox {
			ev.ContainersStatuses = append(ev.ContainersStatuses, f.containers[c])
		}
	}
	go f.emit(ev)
}

func (f *faulty) now() int64 {
	f.seq++
	return time.Now().UnixNano() + int64(f.seq)
}

func (f *faulty) ImageStatus(context.Context, *runtimeapi.ImageStatusRequest, ...grpc.CallOption) (*runtimeapi.ImageStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("ImageStatus"); err != nil {
		return nil, err
	}
	return &runtimeapi.ImageStatusResponse{Image: &runtimeapi.Image{Id: "sha256:a", Uid: &runtimeapi.Int64Value{Value: 1}}}, nil
}

func (f *faulty) RunPodSandbox(_ context.Context, r *runtimeapi.RunPodSandboxRequest, _ ...grpc.CallOption) (*runtimeapi.RunPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("RunPodSandbox"); err != nil {
		return nil, err
	}
	id := fmt.Sprintf("sb-%s-%d", r.Config.Metadata.Uid, r.Config.Metadata.Attempt)
	if f.sandboxes[id] != nil {
		return nil, status.Error(codes.Unknown, "name is reserved")
	}
	f.sandboxes[id] = &runtimeapi.PodSandboxStatus{Id: id, Metadata: r.Config.Metadata, Labels: r.Config.Labels, CreatedAt: f.now(),
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: "10.0.0.1"}}
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: id}, nil
}

func (f *faulty) PodSandboxStatus(_ context.Context, r *runtimeapi.PodSandboxStatusRequest, _ ...grpc.CallOption) (*runtimeapi.PodSandboxStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("PodSandboxStatus"); err != nil {
		return nil, err
	}
	sb := f.sandboxes[r.PodSandboxId]
	if sb == nil {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: sb}, nil
}

func (f *faulty) StopPodSandbox(_ context.Context, r *runtimeapi.StopPodSandboxRequest, _ ...grpc.CallOption) (*runtimeapi.StopPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("StopPodSandbox"); err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(f.in)) {
		if f.in[id] == r.PodSandboxId {
			f.end(id, 137)
		}
	}
	if sb := f.sandboxes[r.PodSandboxId]; sb != nil {
		sb = proto.CloneOf(sb)
		sb.State = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
		f.sandboxes[sb.Id] = sb
		f.event(sb.Id, sb.Id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (f *faulty) RemovePodSandbox(_ context.Context, r *runtimeapi.RemovePodSandboxRequest, _ ...grpc.CallOption) (*runtimeapi.RemovePodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("RemovePodSandbox"); err != nil {
		return nil, err
	}
	delete(f.sandboxes, r.PodSandboxId)
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

func (f *faulty) CreateContainer(_ context.Context, r *runtimeapi.CreateContainerRequest, _ ...grpc.CallOption) (*runtimeapi.CreateContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("CreateContainer"); err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%s-%s-%d", r.SandboxConfig.Metadata.Uid, r.Config.Metadata.Name, r.Config.Metadata.Attempt)
	if f.containers[id] != nil {
		return nil, status.Error(codes.Unknown, "name is reserved")
	}
	f.in[id] = r.PodSandboxId
	f.containers[id] = &runtimeapi.ContainerStatus{Id: id, Metadata: r.Config.Metadata, Labels: r.Config.Labels, Annotations: r.Config.Annotations, CreatedAt: f.now()}
	return &runtimeapi.CreateContainerResponse{ContainerId: id}, nil
}

func (f *faulty) StartContainer(_ context.Context, r *runtimeapi.StartContainerRequest, _ ...grpc.CallOption) (*runtimeapi.StartContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("StartContainer"); status.Code(err) == codes.DeadlineExceeded {
		return nil, err
	} else if err != nil {
		c := proto.CloneOf(f.containers[r.ContainerId]) // as containerd leaves a container whose start it could not finish
		c.State, c.FinishedAt, c.ExitCode, c.Reason = runtimeapi.ContainerState_CONTAINER_EXITED, f.now(), 128, "StartError"
		f.containers[c.Id] = c
		return nil, err
	}
	c := proto.CloneOf(f.containers[r.ContainerId])
	c.State, c.StartedAt = runtimeapi.ContainerState_CONTAINER_RUNNING, f.now()
	f.containers[c.Id] = c
	f.event(f.in[c.Id], c.Id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return &runtimeapi.StartContainerResponse{}, nil
}

func (f *faulty) StopContainer(_ context.Context, r *runtimeapi.StopContainerRequest, _ ...grpc.CallOption) (*runtimeapi.StopContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("StopContainer"); err != nil {
		return nil, err
	}
	f.stopping++
	f.most = max(f.most, f.stopping)
	if d := f.dying; d > 0 {
		if left := time.Duration(r.Timeout) * time.Second; left < d {
			f.cut++
			d = left
		}
		f.mu.Unlock()
		time.Sleep(d)
		f.mu.Lock()
	}
	f.stopping--
	if err := f.fails["StopSignal"]; err != nil && r.Timeout > 0 { // as containerd where the signal to be sent does not exist
		return nil, err
	}
	f.end(r.ContainerId, 137)
	return &runtimeapi.StopContainerResponse{}, nil
}

func (f *faulty) RemoveContainer(_ context.Context, r *runtimeapi.RemoveContainerRequest, _ ...grpc.CallOption) (*runtimeapi.RemoveContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("RemoveContainer"); err != nil {
		return nil, err
	}
	delete(f.containers, r.ContainerId)
	delete(f.in, r.ContainerId)
	return &runtimeapi.RemoveContainerResponse{}, nil
}

func (f *faulty) ContainerStatus(_ context.Context, r *runtimeapi.ContainerStatusRequest, _ ...grpc.CallOption) (*runtimeapi.ContainerStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("ContainerStatus"); err != nil {
		return nil, err
	}
	c := f.containers[r.ContainerId]
	if c == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &runtimeapi.ContainerStatusResponse{Status: c}, nil
}

// end has a running container exit. The caller holds the lock.
func (f *faulty) end(id string, code int32) {
	c := f.containers[id]
	if c == nil || c.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
		return
	}
	c = proto.CloneOf(c)
	c.State, c.FinishedAt, c.ExitCode = runtimeapi.ContainerState_CONTAINER_EXITED, f.now(), code
	f.containers[id] = c
	f.event(f.in[id], id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
}

// pods is what a list would tell.
func (f *faulty) pods() map[cri.ID]*cri.Pod {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[cri.ID]*cri.Pod{}
	at := func(labels map[string]string) *cri.Pod {
		id, _ := cri.IDOf(labels)
		if out[id] == nil {
			out[id] = &cri.Pod{}
		}
		return out[id]
	}
	for _, sb := range f.sandboxes {
		at(sb.Labels).Merge(sb)
	}
	for _, c := range f.containers {
		at(c.Labels).Merge(nil, c)
	}
	return out
}

// counts renders, and forgets, how often was called what changes something.
func (f *faulty) counts() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(f.calls)) {
		if !strings.HasSuffix(name, "Status") {
			out = append(out, fmt.Sprintf("%s %d", name, f.calls[name]))
		}
	}
	f.calls = map[string]int{}
	return strings.Join(out, ", ")
}

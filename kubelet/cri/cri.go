// Package cri is the kubelet's view of a container runtime that speaks CRI v1.
//
// It holds three things and nothing that decides:
//
//	Client   calls with a timeout each, and the stream of container events
//	Pod      what the runtime knows of one pod, merged from events and lists so that it never goes backwards
//	configs  sandbox and container configurations rendered from a pod (pure functions)
package cri

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
)

const (
	callTimeout    = 2 * time.Minute // the standard kubelet's default of --runtime-request-timeout
	sandboxTimeout = 4 * time.Minute
)

// Client calls a runtime and an image service, usually behind one socket.
type Client struct {
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
	conns   []*grpc.ClientConn
}

// Observer is told of every finished call, by the name that metrics have for it.
type Observer func(operation string, took time.Duration, failed bool)

// Dial connects lazily to the endpoints; an empty image endpoint means the runtime's.
func Dial(runtimeEndpoint, imageEndpoint string, seen Observer) (*Client, error) {
	rc, err := dial(runtimeEndpoint, seen)
	if err != nil {
		return nil, err
	}
	c := &Client{Runtime: runtimeapi.NewRuntimeServiceClient(rc), conns: []*grpc.ClientConn{rc}}
	ic := rc
	if imageEndpoint != "" && imageEndpoint != runtimeEndpoint {
		if ic, err = dial(imageEndpoint, seen); err != nil {
			_ = rc.Close()
			return nil, err
		}
		c.conns = append(c.conns, ic)
	}
	c.Images = runtimeapi.NewImageServiceClient(ic)
	return c, nil
}

func dial(endpoint string, seen Observer) (*grpc.ClientConn, error) {
	if endpoint == "" {
		return nil, fmt.Errorf("container runtime endpoint is not set")
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "unix://" + endpoint
	}
	conn, err := grpc.NewClient(endpoint,
		grpc.WithUnaryInterceptor(observed(seen)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(bounds.RuntimeMessage)))
	if err != nil {
		return nil, fmt.Errorf("container runtime endpoint %q: %w", endpoint, err)
	}
	return conn, nil
}

// Close drops the connections.
func (c *Client) Close() error {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	return nil
}

// IsNotFound tells whether the runtime does not know the object (any more).
func IsNotFound(err error) bool { return status.Code(err) == codes.NotFound }

// unbroken is for calls that make something: once begun they run to their end or their time, whatever becomes of
// ctx. A runtime that is interrupted in the middle leaves processes behind that it does not know any more.
func unbroken(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	return ctx, cancel, nil
}

// RunSandbox creates and starts a sandbox and returns what the runtime reports of it (its addresses are needed at
// once). told, if given, is what events have told of a sandbox, which saves a question.
func (c *Client) RunSandbox(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handler string, told func(id string) *runtimeapi.PodSandboxStatus) (*runtimeapi.PodSandboxStatus, error) {
	ctx, cancel, err := unbroken(ctx, sandboxTimeout)
	if err != nil {
		return nil, err
	}
	defer cancel()
	resp, err := c.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: handler})
	if err != nil {
		return nil, err
	}
	if told != nil {
		if st := told(resp.PodSandboxId); usable(st) {
			return st, nil
		}
	}
	st, err := c.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: resp.PodSandboxId})
	if err != nil {
		return nil, err
	}
	return st.Status, nil
}

// usable tells whether a sandbox is told of completely: it is ready and has its address, if it gets one.
func usable(st *runtimeapi.PodSandboxStatus) bool {
	return st != nil && st.State == runtimeapi.PodSandboxState_SANDBOX_READY &&
		(st.Network.GetIp() != "" || st.Linux.GetNamespaces().GetOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE)
}

// StopSandbox stops every process of the sandbox and releases its network.
func (c *Client) StopSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	return ignoreNotFound(err)
}

// RemoveSandbox forgets the sandbox and its containers.
func (c *Client) RemoveSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
	return ignoreNotFound(err)
}

// CreateContainer makes a container in a sandbox.
func (c *Client) CreateContainer(ctx context.Context, sandbox string, cfg *runtimeapi.ContainerConfig, scfg *runtimeapi.PodSandboxConfig) (string, error) {
	ctx, cancel, err := unbroken(ctx, callTimeout)
	if err != nil {
		return "", err
	}
	defer cancel()
	resp, err := c.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: sandbox, Config: cfg, SandboxConfig: scfg})
	if err != nil {
		return "", err
	}
	return resp.ContainerId, nil
}

// StartContainer starts a created container.
func (c *Client) StartContainer(ctx context.Context, id string) error {
	ctx, cancel, err := unbroken(ctx, callTimeout)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = c.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
	return err
}

// answered is within what time the runtime answers a call that itself may take so long.
func answered(after time.Duration) time.Duration {
	return min(after, math.MaxInt64-callTimeout) + callTimeout
}

// StopContainer sends the stop signal and, after the grace period, SIGKILL. It returns when the container has stopped.
func (c *Client) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	seconds := int64((min(grace, math.MaxInt64-time.Second) + time.Second - 1) / time.Second)
	ctx, cancel := context.WithTimeout(ctx, answered(grace))
	defer cancel()
	_, err := c.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: seconds})
	return ignoreNotFound(err)
}

// RemoveContainer forgets a container.
func (c *Client) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id})
	return ignoreNotFound(err)
}

// ContainerStatus asks for one container.
func (c *Client) ContainerStatus(ctx context.Context, id string) (*runtimeapi.ContainerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := c.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		return nil, err
	}
	return resp.Status, nil
}

// Resize changes what a running container may use.
func (c *Client) Resize(ctx context.Context, id string, r *runtimeapi.LinuxContainerResources) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.Runtime.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id, Linux: r})
	return err
}

// ReopenLog makes the runtime write to a new file at the container's log path.
func (c *Client) ReopenLog(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.Runtime.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
	return err
}

// ExecSync runs a command and waits for its end, at most for the timeout.
func (c *Client) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (*runtimeapi.ExecSyncResponse, error) {
	if timeout > 0 {
		// The runtime is told the exact timeout; the call itself may take a little longer to report it.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answered(timeout))
		defer cancel()
	}
	seconds := int64((timeout + time.Second - 1) / time.Second)
	return c.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: cmd, Timeout: seconds})
}

// Version reports the runtime's name and version.
func (c *Client) Version(ctx context.Context) (*runtimeapi.VersionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.Runtime.Version(ctx, &runtimeapi.VersionRequest{})
}

// Status reports the runtime's and its network's readiness.
func (c *Client) Status(ctx context.Context) (*runtimeapi.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
}

// Events calls handle for every container event until the stream breaks or ctx ends.
// opened is called once the stream stands, so that a list made after it misses nothing.
func (c *Client) Events(ctx context.Context, opened func(), handle func(*runtimeapi.ContainerEventResponse)) error {
	stream, err := c.Runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	opened()
	for {
		ev, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		handle(ev)
	}
}

func ignoreNotFound(err error) error {
	if IsNotFound(err) {
		return nil
	}
	return err
}

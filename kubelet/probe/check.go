package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
)

const (
	userAgent = "kube-probe/1.37"
	silence   = time.Minute // within which a runtime tells that a command has timed out
)

// blame tells a container that does not answer from a node that cannot ask.
func blame(err error) Result {
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, own) {
			return Unknown
		}
	}
	return Failure
}

func (p *Prober) check(ctx context.Context, t Target, spec *v1.Probe) (Result, string) {
	timeout := time.Duration(max(spec.TimeoutSeconds, 1)) * time.Second
	switch {
	case spec.Exec != nil:
		return p.exec(ctx, t.ID, spec.Exec.Command, timeout)
	case spec.HTTPGet != nil:
		return httpGet(ctx, t, spec.HTTPGet, timeout)
	case spec.TCPSocket != nil:
		return tcp(ctx, t, spec.TCPSocket, timeout)
	case spec.GRPC != nil:
		return rpc(ctx, t, spec.GRPC, timeout)
	}
	return Unknown, "probe has no handler"
}

func (p *Prober) exec(ctx context.Context, id string, cmd []string, timeout time.Duration) (Result, string) {
	began := time.Now()
	resp, err := p.Exec.ExecSync(ctx, id, cmd, timeout)
	switch code := status.Code(err); {
	case code == codes.OK:
	case code == codes.DeadlineExceeded && time.Since(began) < timeout+silence: // later it is the runtime that is silent
		return Failure, fmt.Sprintf("command timed out: %q timed out after %v", strings.Join(cmd, " "), timeout)
	default:
		return Unknown, err.Error()
	}
	out := Output(resp)
	if resp.ExitCode != 0 {
		return Failure, out
	}
	return Success, out
}

// Output is the begin of what a command said.
func Output(r *runtimeapi.ExecSyncResponse) string {
	out := string(r.Stdout[:min(len(r.Stdout), bounds.Output)])
	return out + string(r.Stderr[:min(len(r.Stderr), bounds.Output-len(out))])
}

// Port resolves a port number or the name of one of the container's ports.
func Port(p intstr.IntOrString, c *v1.Container) (int, error) {
	port := p.IntValue()
	if p.Type == intstr.String {
		for _, cp := range c.Ports {
			if cp.Name == p.StrVal {
				return int(cp.ContainerPort), nil
			}
		}
	}
	if port <= 0 || port > 65535 {
		return 0, fmt.Errorf("invalid port number: %v", p.String())
	}
	return port, nil
}

// HTTPRequest builds the request of an HTTP handler, for probes and lifecycle hooks.
func HTTPRequest(ctx context.Context, h *v1.HTTPGetAction, c *v1.Container, podIP, agent string) (*http.Request, error) {
	port, err := Port(h.Port, c)
	if err != nil {
		return nil, err
	}
	host := h.Host
	if host == "" {
		host = podIP
	}
	scheme := strings.ToLower(string(h.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	u, err := url.Parse(h.Path)
	if err != nil {
		u = &url.URL{Path: h.Path}
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(host, strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, hd := range h.HTTPHeaders {
		req.Header.Add(hd.Name, hd.Value)
		if strings.EqualFold(hd.Name, "Host") {
			req.Host = hd.Value
		}
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header.Set("User-Agent", agent)
	}
	if _, ok := req.Header["Accept"]; !ok {
		req.Header.Set("Accept", "*/*")
	}
	return req, nil
}

// HTTPClient is a client that keeps no connection and trusts whatever certificate a container shows.
// Redirects to another host are not followed.
func HTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives:  true,
			DisableCompression: true,
			Proxy:              nil,

			MaxResponseHeaderBytes: bounds.Headers,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
}

func httpGet(ctx context.Context, t Target, h *v1.HTTPGetAction, timeout time.Duration) (Result, string) {
	req, err := HTTPRequest(ctx, h, t.Container, t.PodIP, userAgent)
	if err != nil {
		return Unknown, err.Error()
	}
	resp, err := HTTPClient(timeout).Do(req)
	if err != nil {
		return blame(err), err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, bounds.Output))
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400: // to another host, where a probe does not go
		return Warning, "Probe terminated redirects, Response body: " + string(body)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return Success, string(body)
	}
	return Failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", resp.StatusCode)
}

func tcp(ctx context.Context, t Target, h *v1.TCPSocketAction, timeout time.Duration) (Result, string) {
	port, err := Port(h.Port, t.Container)
	if err != nil {
		return Unknown, err.Error()
	}
	host := h.Host
	if host == "" {
		host = t.PodIP
	}
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return blame(err), err.Error()
	}
	_ = conn.Close()
	return Success, ""
}

func rpc(ctx context.Context, t Target, h *v1.GRPCAction, timeout time.Duration) (Result, string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addr := net.JoinHostPort(t.PodIP, strconv.Itoa(int(h.Port)))
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithUserAgent(userAgent), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return Failure, fmt.Sprintf("error: failed to connect service %q: %v", addr, err)
	}
	defer conn.Close()
	service := ""
	if h.Service != nil {
		service = *h.Service
	}
	ctx = metadata.NewOutgoingContext(ctx, metadata.MD{})
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service}, grpc.WaitForReady(true))
	switch status.Code(err) {
	case codes.OK:
	case codes.Unimplemented:
		return Failure, fmt.Sprintf("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s", status.Convert(err).Message())
	case codes.DeadlineExceeded:
		return Failure, fmt.Sprintf("timeout: health rpc did not complete within %v", timeout)
	default:
		return Failure, fmt.Sprintf("error: health rpc probe failed: %v", err)
	}
	if resp.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return Failure, fmt.Sprintf("service unhealthy (responded with %q)", resp.Status)
	}
	return Success, "service healthy"
}

package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/proxy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"hyperkube/internal/frames"
	"hyperkube/kubelet/podworker"
)

const prepareTimeout = 30 * time.Second

// running finds a container that runs; it answers the request itself when there is none.
func (s *Server) running(w http.ResponseWriter, r *http.Request) (*runtimeapi.ContainerStatus, bool) {
	st, ok := s.find(w, r)
	if !ok {
		return nil, false
	}
	name := r.PathValue("container")
	c := st.Runtime.Container(name)
	if !podworker.Running(c) {
		http.Error(w, fmt.Sprintf("container not found (%q)", name), http.StatusNotFound)
		return nil, false
	}
	return c, true
}

// streams reads which streams a request wants: names of the kubelet's API, or those of pods/exec.
func streams(q url.Values) (in, out, errs, tty bool) {
	on := func(names ...string) bool {
		for _, n := range names {
			if v := q.Get(n); v == "1" || v == "true" {
				return true
			}
		}
		return false
	}
	in, out, errs, tty = on("input", "stdin"), on("output", "stdout"), on("error", "stderr"), on("tty")
	return in, out, errs && !tty, tty
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	c, ok := s.running(w, r)
	if !ok {
		return
	}
	q := r.URL.Query()
	in, out, errs, tty := streams(q)
	if !in && !out && !errs {
		http.Error(w, "you must specify at least 1 of stdin, stdout, stderr", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), prepareTimeout)
	defer cancel()
	resp, err := s.o.Client.Runtime.Exec(ctx, &runtimeapi.ExecRequest{ContainerId: c.Id, Cmd: q["command"], Tty: tty, Stdin: in, Stdout: out, Stderr: errs})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.pass(w, r, resp.Url)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	c, ok := s.running(w, r)
	if !ok {
		return
	}
	in, out, errs, tty := streams(r.URL.Query())
	if !in && !out && !errs {
		http.Error(w, "you must specify at least 1 of stdin, stdout, stderr", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), prepareTimeout)
	defer cancel()
	resp, err := s.o.Client.Runtime.Attach(ctx, &runtimeapi.AttachRequest{ContainerId: c.Id, Tty: tty, Stdin: in, Stdout: out, Stderr: errs})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.pass(w, r, resp.Url)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	st, ok := s.find(w, r)
	if !ok {
		return
	}
	sb := st.Runtime.ReadySandbox()
	if sb == nil {
		http.Error(w, fmt.Sprintf("pod not found (%q)", st.Pod.Name), http.StatusNotFound)
		return
	}
	var ports []int32
	q := r.URL.Query()
	for _, p := range append(q["port"], q["ports"]...) {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			http.Error(w, fmt.Sprintf("invalid port %q", p), http.StatusBadRequest)
			return
		}
		ports = append(ports, int32(n))
	}
	ctx, cancel := context.WithTimeout(r.Context(), prepareTimeout)
	defer cancel()
	resp, err := s.o.Client.Runtime.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: sb.Id, Port: ports})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.pass(w, r, resp.Url)
}

// pass hands the connection to the runtime's streaming address; whatever protocol was asked for is the runtime's to speak.
// What the client sends is bounded on the way: the runtime serves all pods, and keeps whole frames and terminal sizes.
func (s *Server) pass(w http.ResponseWriter, r *http.Request, to string) {
	u, err := url.Parse(to)
	if err != nil {
		http.Error(w, fmt.Sprintf("runtime's streaming address: %v", err), http.StatusInternalServerError)
		return
	}
	h := proxy.NewUpgradeAwareHandler(u, nil, false, true, refusal{})
	protocol := frames.SPDY
	if wsstream.IsWebSocketRequest(r) {
		protocol = frames.WebSocket
	}
	h.ServeHTTP(frames.Bound(w, protocol), r)
}

// refusal answers requests that could not be passed on.
type refusal struct{}

// Error implements proxy.ErrorResponder.
func (refusal) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// run executes a command and answers with its output.
func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	c, ok := s.running(w, r)
	if !ok {
		return
	}
	cmd := []string{"/bin/sh", "-c", r.URL.Query().Get("cmd")}
	resp, err := s.o.Client.ExecSync(r.Context(), c.Id, cmd, 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(append(resp.Stdout, resp.Stderr...))
}

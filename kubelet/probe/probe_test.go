package probe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hyperkube/internal/bounds"
)

// script is an executor whose answers are a string: + success, - failure, ? error, T timeout.
type script struct {
	answers string
	n       int
	log     []string
	start   time.Time
}

func (s *script) ExecSync(_ context.Context, _ string, cmd []string, _ time.Duration) (*runtimeapi.ExecSyncResponse, error) {
	s.log = append(s.log, fmt.Sprintf("%v %s", time.Since(s.start), cmd[0]))
	a := s.answers[min(s.n, len(s.answers)-1)]
	s.n++
	switch a {
	case '-':
		return &runtimeapi.ExecSyncResponse{ExitCode: 1, Stdout: []byte("sick")}, nil
	case '?':
		return nil, status.Error(codes.Unknown, "runtime down")
	case 'T':
		return nil, status.Error(codes.DeadlineExceeded, "too slow")
	}
	return &runtimeapi.ExecSyncResponse{}, nil
}

func probeOf(cmd string, delay, period, fails int32) *v1.Probe {
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{cmd}}},
		InitialDelaySeconds: delay, PeriodSeconds: period, FailureThreshold: fails, SuccessThreshold: 1}
}

// observe runs probes for a while in a bubble and returns what they said, with times.
func observe(t *testing.T, c *v1.Container, answers string, life time.Duration) (changes, checks []string) {
	synctest.Test(t, func(t *testing.T) {
		ex := &script{answers: answers, start: time.Now()}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), life)
		defer cancel()
		var fails []string
		(&Prober{Exec: ex}).Run(ctx, Target{Container: c, ID: "id"}, Sink{
			Changed: func(u Update) { changes = append(changes, fmt.Sprintf("%v %s %v", time.Since(start), u.Type, u.OK)) },
			Failed:  func(typ Type, unknown bool, out string) { fails = append(fails, out) },
		})
		checks = ex.log
		_ = fails
	})
	return changes, checks
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReadinessIsAskedAtOnce(t *testing.T) {
	changes, checks := observe(t, &v1.Container{ReadinessProbe: probeOf("r", 0, 10, 3)}, "+---+", 45*time.Second)
	equal(t, changes, "0s Readiness true", "30s Readiness false", "40s Readiness true")
	equal(t, checks, "0s r", "10s r", "20s r", "30s r", "40s r")
}

func TestStartupComesFirst(t *testing.T) {
	c := &v1.Container{StartupProbe: probeOf("s", 1, 2, 5), LivenessProbe: probeOf("l", 0, 3, 2), ReadinessProbe: nil}
	changes, checks := observe(t, c, "--++?-T", 30*time.Second)
	// The error counts for nothing; the failure and the timeout after it end the container.
	equal(t, changes, "5s Startup true", "5s Liveness true", "14s Liveness false")
	equal(t, checks, "1s s", "3s s", "5s s", "5s l", "8s l", "11s l", "14s l")
}

func TestStartupGivesUp(t *testing.T) {
	changes, _ := observe(t, &v1.Container{StartupProbe: probeOf("s", 0, 1, 3), LivenessProbe: probeOf("l", 0, 1, 1)}, "-", 30*time.Second)
	equal(t, changes, "2s Startup false")
}

func TestNetworkHandlers(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
		case r.URL.Path == "/bad":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Header.Get("User-Agent") != userAgent, r.Host != "other":
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	target := Target{PodIP: host, Container: &v1.Container{Ports: []v1.ContainerPort{{Name: "web", ContainerPort: int32(number)}}}}
	p := &Prober{}
	get := func(path string) *v1.Probe {
		return &v1.Probe{TimeoutSeconds: 20, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.FromString("web"), HTTPHeaders: []v1.HTTPHeader{{Name: "Host", Value: "other"}}}}}
	}
	for _, c := range []struct {
		spec *v1.Probe
		want Result
		text string
	}{
		{get("/"), Success, ""},
		{get("/away"), Warning, "Probe terminated redirects, Response body: <a href=\"http://elsewhere.example/\">Found</a>.\n\n"},
		{get("/bad"), Failure, "HTTP probe failed with statuscode: 503"},
		{&v1.Probe{TimeoutSeconds: 20, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromString("web")}}}, Success, ""},
		{&v1.Probe{TimeoutSeconds: 20, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(1)}}}, Failure, "dial tcp " + host + ":1: connect: connection refused"},
		{&v1.Probe{TimeoutSeconds: 20, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromString("none")}}}, Unknown, "invalid port number: none"},
	} {
		got, text := p.check(t.Context(), target, c.spec)
		if got != c.want || text != c.text {
			t.Errorf("%v: %v %q", c.spec, got, text)
		}
	}
}

// TestOutputIsBounded: of what a command says the begin is kept, both streams together.
func TestOutputIsBounded(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 1<<20)
	for _, c := range []struct {
		out, err []byte
		want     int
	}{{nil, nil, 0}, {[]byte("a"), []byte("b"), 2}, {long, long, bounds.Output}, {nil, long, bounds.Output}, {long[:bounds.Output-1], []byte("ab"), bounds.Output}} {
		if got := Output(&runtimeapi.ExecSyncResponse{Stdout: c.out, Stderr: c.err}); len(got) != c.want {
			t.Errorf("%d bytes, want %d", len(got), c.want)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", string(bytes.Repeat(long, 3)))
	}))
	defer srv.Close()
	if resp, err := HTTPClient(10 * time.Second).Get(srv.URL); err == nil {
		resp.Body.Close()
		t.Error("3 MiB of headers are taken")
	}
}

// TestWarningsAreSuccesses: a redirect to another host is told, and counts as success.
func TestWarningsAreSuccesses(t *testing.T) {
	srv := httptest.NewServer(http.RedirectHandler("http://elsewhere.example/", http.StatusFound))
	defer srv.Close()
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	spec := &v1.Probe{TimeoutSeconds: 20, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Port: intstr.Parse(port)}}, SuccessThreshold: 1}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	warned, ok := 0, false
	(&Prober{}).Run(ctx, Target{PodIP: host, ID: "id", Container: &v1.Container{ReadinessProbe: spec}}, Sink{
		Changed: func(u Update) { ok = u.OK; cancel() },
		Failed:  func(Type, bool, string) { t.Error("a redirect failed") },
		Warned:  func(typ Type, _ string) { warned++ },
	})
	if !ok || warned != 1 {
		t.Errorf("ready %v after %d warnings", ok, warned)
	}
}

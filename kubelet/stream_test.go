package kubelet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	exec "k8s.io/client-go/util/exec"

	"hyperkube/kubelet/server"
)

func allowAll() server.Auth {
	return server.Auth{
		Authenticate: func(r *http.Request) (*server.User, error) {
			if r.Header.Get("Authorization") != "Bearer good" {
				return nil, nil
			}
			return &server.User{Name: "tester"}, nil
		},
		Authorize: func(_ context.Context, _ *server.User, _, _, _ string) (bool, error) { return true, nil },
	}
}

func (b *bed) config() *rest.Config {
	return &rest.Config{Host: "https://127.0.0.1:" + strconv.Itoa(b.port), BearerToken: "good", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

func (b *bed) url(path string, q url.Values) *url.URL {
	return &url.URL{Scheme: "https", Host: "127.0.0.1:" + strconv.Itoa(b.port), Path: path, RawQuery: q.Encode()}
}

func TestStreams(t *testing.T) {
	b := newBed(t)
	b.pod("web", "trap 'exit 0' TERM; i=0; while true; do echo line $i; echo err $i >&2; i=$((i+1)); sleep 0.05; done", nil)
	b.until("web", "ready", ready)
	q := url.Values{"command": {"/bin/sh", "-c", "cat; echo bad >&2; exit 7"}, "input": {"1"}, "output": {"1"}, "error": {"1"}}
	ex, err := remotecommand.NewSPDYExecutor(b.config(), "POST", b.url("/exec/default/web/main", q))
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = ex.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader("through\n"), Stdout: &out, Stderr: &errs})
	code, ok := err.(exec.CodeExitError)
	if !ok || code.Code != 7 || out.String() != "through\n" || errs.String() != "bad\n" {
		t.Errorf("out %q err %q: %v", out.String(), errs.String(), err)
	}
	b.testLogs(t)
	b.testForward(t)
	b.testPlain(t)
}

func (b *bed) get(path string, q url.Values) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, b.url(path, q).String(), nil)
	if err != nil {
		return nil, err
	}
	rt, err := rest.TransportFor(b.config())
	if err != nil {
		return nil, err
	}
	return (&http.Client{Transport: rt, Timeout: 20 * time.Second}).Do(req)
}

func (b *bed) testLogs(t *testing.T) {
	resp, err := b.get("/containerLogs/default/web/main", url.Values{"follow": {"true"}, "tailLines": {"4"}, "stream": {"Stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 0, 1<<20)
	for !strings.Contains(string(buf), "line 45") {
		part := make([]byte, 4096)
		n, err := resp.Body.Read(part)
		buf = append(buf, part[:n]...)
		if err != nil {
			t.Fatalf("%v after %s", err, buf)
		}
	}
	if strings.Contains(string(buf), "err ") {
		t.Errorf("stderr among stdout:\n%s", buf)
	}
	resp, err = b.get("/containerLogs/default/web/main", url.Values{"tailLines": {"3"}, "timestamps": {"true"}})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if strings.Count(string(data), "\n") != 3 {
		t.Errorf("tail of three: %q", data)
	}
}

func (b *bed) testForward(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	}()
	rt, upgrader, err := spdy.RoundTripperFor(b.config())
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: rt}, http.MethodPost, b.url("/portForward/default/web", nil))
	stop, isReady := make(chan struct{}), make(chan struct{})
	fw, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", l.Addr().(*net.TCPAddr).Port)}, stop, isReady, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- fw.ForwardPorts() }()
	select {
	case <-isReady:
	case err := <-done:
		t.Fatal(err)
	}
	ports, err := fw.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("hello"))
	got := make([]byte, 5)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Errorf("%q %v", got, err)
	}
	c.Close()
	close(stop)
	<-done
}

func (b *bed) testPlain(t *testing.T) {
	for path, want := range map[string]string{
		"/healthz": "ok", "/pods": `"name":"web"`, "/stats/summary": `"usageCoreNanoSeconds"`, "/metrics": "kubelet_started_containers_total",
		"/metrics/resource": `container_cpu_usage_seconds_total{container="main"`, "/configz": "kubeletconfig",
	} {
		resp, err := b.get(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(data), want) {
			t.Errorf("%s: no %q in %.300s", path, want, data)
		}
	}
	cfg := b.config()
	cfg.BearerToken = "bad"
	rt, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: rt}).Get(b.url("/pods", nil).String())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("bad token: %s", resp.Status)
	}
}

func TestProbesAndHooks(t *testing.T) {
	b := newBed(t)
	b.pod("sick", "mkdir -p /run; touch /run/ok; trap 'exit 0' TERM; while true; do sleep 0.1; done", func(p *v1.Pod) {
		p.Spec.Containers[0].LivenessProbe = &v1.Probe{PeriodSeconds: 1, FailureThreshold: 2, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-f", "/run/ok"}}}}
		p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{
			PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", "mkdir -p /run; echo started > /run/hook"}}},
			PreStop:   &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", "echo stopping > /proc/1/fd/1"}}},
		}
	})
	p := b.until("sick", "ready", ready)
	resp, err := b.k.client.ExecSync(context.Background(), strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://"), []string{"sh", "-c", "cat /run/hook; rm /run/ok"}, time.Minute)
	if err != nil || string(resp.Stdout) != "started\n" {
		t.Fatalf("%v %v", resp, err)
	}
	p = b.until("sick", "restarted", func(p *v1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount == 1 && ready(p) })
	waitFile(t, filepath.Join(b.dir, "logs", "default_sick_"+string(p.UID), "main", "0.log"), "stopping")
}

func TestLogRotation(t *testing.T) {
	b := newBed(t)
	p := b.pod("chatty", "trap 'exit 0' TERM; i=0; while [ $i -lt 1500 ]; do echo $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; while true; do echo $i xend; i=$((i+1)); sleep 0.1; done", nil)
	p = b.until("chatty", "ready", ready)
	dir := filepath.Join(b.dir, "logs", "default_chatty_"+string(p.UID), "main")
	waitFile(t, filepath.Join(dir, "0.log"), "xend")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 2 {
		t.Errorf("%v %v", entries, err)
	}
	resp, err := b.get("/containerLogs/default/chatty/main", nil)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	lines := strings.Split(string(data), "\n")
	for i, line := range lines[:len(lines)-1] {
		if !strings.HasPrefix(line, strconv.Itoa(i)+" x") {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

func TestStaticPod(t *testing.T) {
	b := newBed(t)
	dir := filepath.Join(b.dir, "manifests")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.stop()
	manifest := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"fixed","namespace":"default"},"spec":{"hostNetwork":true,"terminationGracePeriodSeconds":1,
"containers":[{"name":"main","image":%q,"command":["/bin/sh","-c","trap 'exit 0' TERM; while true; do sleep 0.1; done"]}]}}`, b.image)
	if err := os.WriteFile(filepath.Join(dir, "fixed.json"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	b.start()
	p := b.until("fixed-test-node", "ready", ready)
	p.UID = types.UID(p.Annotations["kubernetes.io/config.mirror"])
	if err := os.Remove(filepath.Join(dir, "fixed.json")); err != nil {
		t.Fatal(err)
	}
	b.gone("fixed-test-node")
	waitNone(t, filepath.Join(b.dir, "root", "pods", string(p.UID)))
}

package connect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	streamingpf "k8s.io/cri-streaming/pkg/streaming/portforward"
	streamingrc "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"hyperkube/apiserver/connect"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
)

// runtime answers like a container: "cat" echoes, "fail" ends with 3, "size"
// prints the terminal's size, "wait" until the client is gone.
type runtime struct{ gone chan struct{} }

func (f runtime) ExecInContainer(ctx context.Context, name, uid, container string, cmd []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan streamingrc.TerminalSize, _ time.Duration) error {
	switch cmd[0] {
	case "cat":
		_, e := io.Copy(out, in)
		return e
	case "fail":
		fmt.Fprint(err, "oops")
		return utilexec.CodeExitError{Err: errors.New("exit 3"), Code: 3}
	case "size":
		s := <-resize
		fmt.Fprintf(out, "%dx%d", s.Width, s.Height)
		return nil
	case "wait":
		fmt.Fprint(out, "up")
		io.Copy(io.Discard, in)
		close(f.gone)
		return nil
	}
	fmt.Fprint(out, container, " ", strings.Join(cmd, " "))
	return nil
}

func (f runtime) PortForward(ctx context.Context, name, uid string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	buf := make([]byte, 4)
	if _, err := io.ReadFull(stream, buf); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stream, "%d:%s", port, buf)
	return err
}

func kubelet(t *testing.T, rt runtime) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{ns}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		o := &streamingrc.Options{Stdin: q.Get("input") == "1", Stdout: q.Get("output") == "1", Stderr: q.Get("error") == "1", TTY: q.Get("tty") == "1"}
		streamingrc.ServeExec(w, r, rt, r.PathValue("pod"), "", r.PathValue("container"), q["command"], o, time.Minute, 5*time.Second, streamingrc.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/portForward/{ns}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		o, err := streamingpf.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		streamingpf.ServePortForward(w, r, rt, r.PathValue("pod"), "", o, time.Minute, 5*time.Second, streamingpf.SupportedProtocols)
	})
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("previous") != "" {
			http.Error(w, "previous terminated container not found", 400)
			return
		}
		fmt.Fprintln(w, "log of", r.PathValue("container"), r.URL.RawQuery)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Method, r.URL.RequestURI()) })
	s := httptest.NewUnstartedServer(mux)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// setup is an API server with a handler behind it and a kubelet.
func setup(t *testing.T, rt runtime) *rest.Config {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "backend ", r.URL.RequestURI())
	}))
	t.Cleanup(backend.Close)
	return setupTo(t, rt, backend.Listener.Addr().String())
}

// setupTo is setup with all pods at one address.
func setupTo(t *testing.T, rt runtime, pods string) *rest.Config {
	t.Helper()
	k := kubelet(t, rt)
	s := storetest.New("nodes", "pods", "services", "endpointslices.discovery.k8s.io")
	fill(t, s, k)
	h, err := connect.New(connect.Deps{Reader: s, KubeletCAs: k.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "10.") { // addresses of pods
				addr = pods
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(request.WithInfo(r.Context(), parse(r.URL.Path))))
	}))
	t.Cleanup(api.Close)
	return &rest.Config{Host: api.URL}
}

func parse(path string) *request.Info {
	p := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 5) // ns, resource, name, sub, rest
	i := &request.Info{IsResource: true, Namespace: p[0], Resource: p[1], Name: p[2], Subresource: p[3]}
	if len(p) > 4 {
		i.Rest = p[4]
	}
	return i
}

func fill(t *testing.T, s *storetest.Store, k *httptest.Server) {
	t.Helper()
	host, port, _ := net.SplitHostPort(k.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	s.Put("nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "nowhere"}, {Type: corev1.NodeInternalIP, Address: host}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(n)}}}})
	pod := func(name, node string, containers ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{PodIP: "10.1.1.1"}}
		for _, c := range containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c, Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}})
		}
		return p
	}
	local := pod("local", "n1", "c")
	local.Status.PodIP = "127.0.0.1"
	done := pod("done", "n1", "c")
	done.Status.Phase = corev1.PodSucceeded
	s.Put("pods", pod("one", "n1", "c"), pod("two", "n1", "x", "y"), pod("free", "", "c"), local, done)
	s.Put("services", &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "empty"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	eighty, yes := int32(8080), true
	s.Put("endpointslices.discovery.k8s.io", &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		Ports:      []discoveryv1.EndpointPort{{Port: &eighty}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.1.1.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}}},
	})
}

func executors(t *testing.T, c *rest.Config, path string) map[string]remotecommand.Executor {
	t.Helper()
	ws, err := remotecommand.NewWebSocketExecutor(c, "GET", c.Host+path)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(c.Host + path)
	sp, err := remotecommand.NewSPDYExecutor(c, "POST", u)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]remotecommand.Executor{"websocket": ws, "spdy": sp}
}

func TestExec(t *testing.T) {
	c := setup(t, runtime{})
	for name, e := range executors(t, c, "/a/pods/one/exec?command=cat&stdin=true&stdout=true&stderr=true") {
		t.Run("stdin ends/"+name, func(t *testing.T) {
			var out bytes.Buffer
			if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: io.Discard}); err != nil || out.String() != "hello" {
				t.Fatalf("%q, %v", out.String(), err)
			}
		})
	}
	for name, e := range executors(t, c, "/a/pods/one/exec?command=fail&stdout=true&stderr=true") {
		t.Run("exit code/"+name, func(t *testing.T) {
			var errOut bytes.Buffer
			err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard, Stderr: &errOut})
			var exit exec.CodeExitError
			if !errors.As(err, &exit) || exit.Code != 3 || errOut.String() != "oops" {
				t.Fatalf("%q, %v", errOut.String(), err)
			}
		})
	}
	for name, e := range executors(t, c, "/a/pods/one/exec?command=size&stdin=true&stdout=true&tty=true") {
		t.Run("terminal/"+name, func(t *testing.T) {
			var out bytes.Buffer
			q := make(sizes, 1)
			q <- remotecommand.TerminalSize{Width: 80, Height: 24}
			in, w := io.Pipe()
			defer w.Close()
			if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: true, TerminalSizeQueue: q}); err != nil || out.String() != "80x24" {
				t.Fatalf("%q, %v", out.String(), err)
			}
		})
	}
}

type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	v, ok := <-s
	if !ok {
		return nil
	}
	return &v
}

// writer tells when something was written.
type writer chan struct{}

func (w writer) Write(p []byte) (int, error) {
	select {
	case w <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestClientGoesAway(t *testing.T) {
	for _, how := range []string{"websocket", "spdy"} {
		t.Run(how, func(t *testing.T) {
			rt := runtime{gone: make(chan struct{})}
			c := setup(t, rt)
			e := executors(t, c, "/a/pods/one/exec?command=wait&stdin=true&stdout=true")[how]
			ctx, cancel := context.WithCancel(t.Context())
			in, w := io.Pipe()
			defer w.Close()
			up := make(writer, 1)
			done := make(chan error, 1)
			go func() { done <- e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: up}) }()
			<-up
			cancel()
			<-done
			<-rt.gone
		})
	}
}

func TestPortForward(t *testing.T) {
	c := setup(t, runtime{})
	u, _ := url.Parse(c.Host + "/a/pods/one/portforward")
	ws, err := portforward.NewSPDYOverWebsocketDialer(u, c)
	if err != nil {
		t.Fatal(err)
	}
	rt, up, err := spdy.RoundTripperFor(c)
	if err != nil {
		t.Fatal(err)
	}
	dialers := map[string]interface {
		forward(*testing.T) string
	}{
		"websocket": forwarder{func(stop, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(ws, []string{":99"}, stop, ready, io.Discard, io.Discard)
		}},
		"spdy": forwarder{func(stop, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(spdy.NewDialer(up, &http.Client{Transport: rt}, "POST", u), []string{":99"}, stop, ready, io.Discard, io.Discard)
		}},
	}
	for name, d := range dialers {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if got := d.forward(t); got != "99:ping" {
					t.Fatalf("got %q", got)
				}
			}
		})
	}
}

type forwarder struct {
	make func(stop, ready chan struct{}) (*portforward.PortForwarder, error)
}

func (f forwarder) forward(t *testing.T) string {
	t.Helper()
	stop, ready := make(chan struct{}), make(chan struct{})
	pf, err := f.make(stop, ready)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- pf.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	ports, _ := pf.GetPorts()
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", ports[0].Local))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "ping")
	got, _ := io.ReadAll(conn)
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestPlainRequests(t *testing.T) {
	c := setup(t, runtime{})
	for path, want := range map[string]string{
		"/a/pods/one/log": "200 log of c",
		"/a/pods/one/log?tailLines=5&timestamps=true": "200 log of c tailLines=5&timestamps=true",
		"/a/pods/two/log":                      "400 a container name must be specified for pod two, choose one of: [x y]",
		"/a/pods/two/log?container=y":          "200 log of y",
		"/a/pods/two/log?container=z":          "400 container z is not valid for pod two",
		"/a/pods/one/log?previous=true":        "400 previous terminated container not found",
		"/a/pods/one/log?tailLines=-1":         "422 PodLogOptions \"one\" is invalid: tailLines",
		"/a/pods/free/log":                     "200",
		"/a/pods/gone/log":                     "404 pods \"gone\" not found",
		"/a/pods/free/exec?command=x&stdout=1": "400 pod free does not have a host assigned",
		"/a/pods/done/exec?command=x&stdout=1": "400 cannot exec into a container in a completed pod; current phase is Succeeded",
		"/a/pods/one/exec?command=x":           "400 you must specify at least one of stdin, stdout, stderr",
		"/a/pods/one/exec?stdout=1":            "400 you must specify at least 1 command",
		"/a/pods/one/exec?command=x&stdout=1":  "400 Upgrade request required",
		"/a/pods/one/proxy/x/y?q=1":            "200 backend /x/y?q=1",
		"/a/pods/one:web/proxy/x":              "200 backend /x",
		"/a/pods/one:nope/proxy/x":             "400 no port \"nope\" found",
		"/a/pods/local/proxy/x":                "400 address not allowed",
		"/a/services/web/proxy/x":              "200 backend /x",
		"/a/services/http:web:80/proxy/":       "200 backend /",
		"/a/services/web:81/proxy/":            "503 no service port \"81\" found for service \"web\"",
		"/a/services/empty/proxy/":             "503 no endpoints available for service \"empty\"",
		"/a/nodes/n1/proxy/stats/summary?a=b":  "200 GET /stats/summary?a=b",
		"/a/nodes/n2/proxy/x":                  "404 nodes \"n2\" not found",
	} {
		resp, err := http.Get(c.Host + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := string(body)
		if strings.Contains(got, `"message":`) {
			_, got, _ = strings.Cut(got, `"message":"`)
			got = strings.ReplaceAll(got, `\"`, `"`)
		}
		if got = fmt.Sprint(resp.StatusCode, " ", got); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

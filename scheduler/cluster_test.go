package scheduler_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"hyperkube/apiserver"
	"hyperkube/apiserver/assembly"
	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
	"hyperkube/kit"
	"hyperkube/scheduler"
	"hyperkube/store/etcd"
)

// cluster is a scheduler beside a whole API server on an etcd in memory.
type cluster struct {
	testing.TB
	kube     kubernetes.Interface
	registry *prometheus.Registry
	pods     watch.Interface
	latest   map[string]*corev1.Pod
	faults   *faults
	profiles []scheduler.Profile
}

// faults stands between the scheduler and the API. A binding of a pod that has a
// fault goes through it, once.
type faults struct {
	to http.RoundTripper
	mu sync.Mutex
	of map[string]func(send func() (*http.Response, error)) (*http.Response, error)
}

func (f *faults) bind(pod string, fault func(send func() (*http.Response, error)) (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string]func(send func() (*http.Response, error)) (*http.Response, error){}
	}
	f.of[pod] = fault
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	send := func() (*http.Response, error) { return f.to.RoundTrip(r) }
	path, binding := strings.CutSuffix(r.URL.Path, "/binding")
	if !binding {
		return send()
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	f.mu.Lock()
	fault := f.of[name]
	delete(f.of, name)
	f.mu.Unlock()
	if fault == nil {
		return send()
	}
	return fault(send)
}

func start(t testing.TB) *cluster { return startWith(t, func(*cluster) {}) }

// startWith runs before on the cluster before the scheduler looks at it.
func startWith(t testing.TB, before func(*cluster)) *cluster {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("VERBOSE") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 4)
	running := 0
	run := func(f func(context.Context) error) {
		running++
		go func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			ended <- struct{}{}
		}()
	}
	e, err := etcd.Start(ctx, etcd.Config{Dir: t.TempDir() + "/etcd", Ephemeral: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range running {
			select {
			case <-ended:
			case <-time.After(time.Minute):
				stacks := make([]byte, 1<<20)
				t.Errorf("a role does not end:\n%s", stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
		e.Stop()
	})
	a := server(t, ctx, e, log)
	run(a.Run)
	within(t, a.Ready(), "the API server is ready")
	c := &cluster{TB: t, registry: prometheus.NewRegistry(), latest: map[string]*corev1.Pod{}, faults: &faults{}}
	user := &request.User{Name: "system:kube-scheduler", Groups: []string{request.GroupAuthenticated}}
	cfg := a.Server.ClientConfig(user)
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		c.faults.to = rt
		return c.faults
	})
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	admin := &request.User{Name: "admin", Groups: []string{request.GroupMasters, request.GroupAuthenticated}}
	c.kube, err = kubernetes.NewForConfig(a.Server.ClientConfig(admin))
	if err != nil {
		t.Fatal(err)
	}
	c.account(ctx)
	if c.pods, err = c.kube.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.pods.Stop)
	before(c)
	informers := kit.NewInformers(a.Server.Source(user), log)
	recorder, events := kit.NewRecorder(kube, "default-scheduler", log)
	s, err := scheduler.New(scheduler.Options{Kube: kube, Informers: informers, Recorder: recorder, Logger: log, Registry: c.registry, Profiles: c.profiles})
	if err != nil {
		t.Fatal(err)
	}
	run(informers.Run)
	run(events.Run)
	run(s.Run)
	return c
}

// within waits for what happens in any case unless something is broken, so that a test that will not end
// fails and says where.
func within(t testing.TB, happened <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(time.Minute):
		t.Fatalf("%s: not within a minute", what)
	}
}

func server(t testing.TB, ctx context.Context, e *etcd.Server, log *slog.Logger) *assembly.Assembly {
	t.Helper()
	_, benchmark := t.(*testing.B)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := pki.Ensure(pki.Options{Layout: pki.NewLayout(t.TempDir()), Server: "https://" + l.Addr().String(), Now: time.Now(), ServiceIP: net.IPv4(10, 96, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	cert := func(p *pki.Pair) *tls.Certificate {
		return &tls.Certificate{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key, Leaf: p.Cert}
	}
	pool := x509.NewCertPool()
	pool.AddCert(f.CA.Cert)
	a, err := assembly.New(ctx, assembly.Options{
		Log: log, Etcd: e, Listener: l, TLS: apiserver.TLS{Certificate: cert(f.APIServer), ClientCAs: []*pki.Pool{pki.FixedPool(f.CA)}},
		Advertise: netip.MustParseAddrPort("192.0.2.1:6443"), ClientCAs: pki.FixedPool(f.CA),
		Issuer: "https://kubernetes.default.svc.cluster.local", SigningKey: f.ServiceAccount,
		Services: netip.MustParsePrefix("10.96.0.0/16"), KubeletClient: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert(f.KubeletClient), nil }, KubeletCAs: pool, DetectMutation: !benchmark,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c *cluster) account(ctx context.Context) {
	c.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := c.kube.CoreV1().ServiceAccounts("default").Create(ctx, sa, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) node(name, cpu string, taints ...corev1.Taint) {
	c.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}, Spec: corev1.NodeSpec{Taints: taints}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
	n.Status.Capacity = n.Status.Allocatable
	n, err := c.kube.CoreV1().Nodes().Create(c.Context(), n, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
	n.Spec.Taints = taints // admission added the one of nodes that are not ready yet
	if _, err := c.kube.CoreV1().Nodes().Update(c.Context(), n, metav1.UpdateOptions{}); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) pod(name, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	c.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}}}
	for _, f := range change {
		f(p)
	}
	p, err := c.kube.CoreV1().Pods("default").Create(c.Context(), p, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return p
}

// wait reads the watch until the pod is as wanted. Watch events are all the
// waiting there is.
func (c *cluster) wait(name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	c.Helper()
	limit := time.After(30 * time.Second)
	for {
		if p := c.latest[name]; p != nil && ok(p) {
			return p
		}
		select {
		case e := <-c.pods.ResultChan():
			c.take(e)
		case <-limit:
			if p := c.latest[name]; p != nil {
				c.Fatalf("pod %s never became %s: on %q, %+v", name, what, p.Spec.NodeName, p.Status.Conditions)
			}
			c.Fatalf("pod %s never became %s: it is not there", name, what)
		}
	}
}

// take remembers what the watch tells.
func (c *cluster) take(e watch.Event) {
	c.Helper()
	p, is := e.Object.(*corev1.Pod)
	if !is {
		c.Fatalf("watch: %v", e)
	}
	c.latest[p.Name] = p
	if e.Type == watch.Deleted {
		delete(c.latest, p.Name)
	}
}

// taken takes what the watch has to tell now. A test that does much before it
// waits must do it, or the watch is ended as one that nobody reads.
func (c *cluster) taken() {
	c.Helper()
	for {
		select {
		case e := <-c.pods.ResultChan():
			c.take(e)
		default:
			return
		}
	}
}

func (c *cluster) bound(name, node string) *corev1.Pod {
	c.Helper()
	return c.wait(name, "bound to "+node, func(p *corev1.Pod) bool {
		if p.Spec.NodeName != "" && node != "" && p.Spec.NodeName != node {
			c.Fatalf("%s went to %s, not %s", name, p.Spec.NodeName, node)
		}
		return p.Spec.NodeName != ""
	})
}

func (c *cluster) refused(name, message string) *corev1.Pod {
	c.Helper()
	return c.wait(name, "refused with "+message, func(p *corev1.Pod) bool {
		k := condition(p)
		return k != nil && k.Status == corev1.ConditionFalse && k.Reason == corev1.PodReasonUnschedulable && k.Message == message
	})
}

func condition(p *corev1.Pod) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if k := &p.Status.Conditions[i]; k.Type == corev1.PodScheduled {
			return k
		}
	}
	return nil
}

func (c *cluster) remove(name string) {
	c.Helper()
	zero := int64(0)
	if err := c.kube.CoreV1().Pods("default").Delete(c.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		c.Fatal(err)
	}
}

// event waits for an event about a pod.
func (c *cluster) event(pod, reason, message string) {
	c.Helper()
	w, err := c.kube.CoreV1().Events("default").Watch(c.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + pod + ",reason=" + reason, ResourceVersion: "0"})
	if err != nil {
		c.Fatal(err)
	}
	defer w.Stop()
	limit := time.After(20 * time.Second)
	for seen := []string(nil); ; {
		select {
		case e := <-w.ResultChan():
			got, is := e.Object.(*corev1.Event)
			if is && strings.Contains(got.Message, message) {
				return
			}
			seen = append(seen, fmt.Sprint(e.Object))
		case <-limit:
			c.Fatalf("no event %s %q for %s, but %q", reason, message, pod, seen)
		}
	}
}

// in is the cluster for a subtest.
func (c *cluster) in(t *testing.T) *cluster {
	o := *c
	o.TB = t
	return &o
}

// metric is a gauge's value for one queue.
func (c *cluster) metric(name, queue string) float64 {
	c.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		c.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == queue {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

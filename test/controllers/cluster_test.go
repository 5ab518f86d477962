// Package controllers_test runs the controller manager against the real API
// server and store, with the part of the kubelet and the scheduler
// that controllers wait for played by the test.
package controllers_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"hyperkube/api/scheme"
	"hyperkube/apiserver"
	"hyperkube/apiserver/admission/plugins"
	apidiscovery "hyperkube/apiserver/discovery"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"
	"hyperkube/controllers"
	"hyperkube/controllers/env"
	"hyperkube/kit"
	"hyperkube/store"
	"hyperkube/store/etcd"
)

// patience is how long a test waits for what must happen at once.
const patience = 20 * time.Second

type cluster struct {
	t         testing.TB
	ctx       context.Context
	kube      kubernetes.Interface
	informers *kit.Informers
}

// newCluster starts an API server and all controllers, which read the store's own objects.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	return startCluster(t, func(s *apiserver.Server, u *request.User) (kit.Source, error) { return s.Source(u), nil })
}

// newRemoteCluster is newCluster with informers that read over HTTP.
func newRemoteCluster(t testing.TB) *cluster {
	t.Helper()
	return startCluster(t, func(s *apiserver.Server, u *request.User) (kit.Source, error) { return kit.Remote(s.ClientConfig(u)) })
}

func startCluster(t testing.TB, source func(*apiserver.Server, *request.User) (kit.Source, error)) *cluster {
	t.Helper()
	level := slog.LevelWarn
	if os.Getenv("VERBOSE") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	held, all := openStore(t, kinds.All())
	admin := &request.User{Name: "system:admin", Groups: []string{"system:masters"}}
	server, err := apiserver.New(apiserver.Options{
		Store: held, Discovery: apidiscovery.New(all), Served: all, Log: log, Network: oneAddress{}, Admission: plugins.Default(plugins.Deps{Reader: held, Log: log}),
	})
	if err != nil {
		t.Fatal(err)
	}
	config := server.ClientConfig(admin)
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		t.Fatal(err)
	}
	src, err := source(server, admin)
	if err != nil {
		t.Fatal(err)
	}
	informers := kit.NewInformers(src, log)
	m, err := controllers.New(controllers.Options{
		Kube: kube, Metadata: meta, Informers: informers, Log: log,
		Config: env.Config{
			RootCA: []byte("-----BEGIN CERTIFICATE-----\n"), AllocateNodeCIDRs: true, ServiceAccountToken: namedTokens{},
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("controllers: %v", err)
			}
		case <-time.After(patience):
			t.Error("controllers did not stop")
		}
	})
	c := &cluster{t: t, ctx: ctx, kube: kube, informers: informers}
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	return c
}

func (c *cluster) create(ns *corev1.Namespace) {
	c.t.Helper()
	if _, err := c.kube.CoreV1().Namespaces().Create(c.ctx, ns, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// openStore is a store on an etcd of its own. It notices when somebody changes a shared object.
func openStore(t testing.TB, all []*kind.Kind) (*store.Store, *registry.Registry) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	member, err := etcd.Start(ctx, etcd.Config{Dir: t.TempDir(), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(ctx, store.Options{Etcd: member, DetectMutation: true, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		st.Close()
		cancel()
		member.Stop()
	})
	served, err := registry.Of(registry.Options{Store: st, Scheme: scheme.New()}, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return st, served
}

// until waits, woken by every change of the informer, until ok says so.
func until[T kit.Object](c *cluster, i *kit.Informer[T], what string, ok func() bool) {
	c.t.Helper()
	changed := make(chan struct{}, 1)
	i.OnChange(kit.Any(func(T) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}))
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-changed:
		case <-deadline:
			for _, o := range i.List() {
				c.t.Logf("have %s/%s", o.GetNamespace(), o.GetName())
			}
			c.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func informer[T kit.Object](c *cluster, gv schema.GroupVersion, resource string) *kit.Informer[T] {
	i := kit.InformerFor[T](c.informers, gv.WithResource(resource))
	if err := i.WaitSynced(c.ctx); err != nil {
		c.t.Fatal(err)
	}
	return i
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// editor reads and writes objects of one kind and namespace.
type editor[T any] interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (T, error)
	Update(ctx context.Context, obj T, o metav1.UpdateOptions) (T, error)
}

// edit changes an object as users do, again when a controller was faster.
func edit[T any](c *cluster, api editor[T], name string, change func(T)) {
	c.t.Helper()
	err := kit.RetryConflict(c.ctx, func(ctx context.Context) error {
		obj, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(obj)
		_, err = api.Update(ctx, obj, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// runPods plays the kubelet: every pod gets a node, an address and becomes ready; a pod
// that is being deleted goes.
func (c *cluster) runPods() {
	pods := informer[*corev1.Pod](c, corev1.SchemeGroupVersion, "pods")
	next := 0
	todo := make(chan *corev1.Pod, 10000)
	see := func(p *corev1.Pod) {
		select {
		case todo <- p:
		default:
			c.t.Error("too many pods at once")
		}
	}
	pods.OnChange(kit.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod, _ bool) { see(p) }, Update: func(_, p *corev1.Pod) { see(p) },
	})
	go func() {
		for {
			select {
			case <-c.ctx.Done():
				return
			case p := <-todo:
				if p.DeletionTimestamp != nil {
					zero := int64(0)
					_ = c.kube.CoreV1().Pods(p.Namespace).Delete(c.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
					continue
				}
				if p.Status.PodIP != "" {
					continue
				}
				next++
				out := p.DeepCopy()
				ip := netip.AddrFrom4([4]byte{10, 244, byte(next >> 8), byte(next)}).String()
				out.Status.Phase, out.Status.PodIP, out.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
				out.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
				if _, err := c.kube.CoreV1().Pods(p.Namespace).UpdateStatus(c.ctx, out, metav1.UpdateOptions{}); err != nil {
					c.t.Logf("kubelet: %v", err)
				}
			}
		}
	}()
}

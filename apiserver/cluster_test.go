package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/apply"
	"hyperkube/apiserver/discovery"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/openapi"
	"hyperkube/apiserver/request"
	"hyperkube/kit"
	"hyperkube/store"
	"hyperkube/store/etcd"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

var admin = &request.User{Name: "admin", Groups: []string{request.GroupMasters, request.GroupAuthenticated}}

// newCluster runs a server of every kind on an embedded etcd, on a loopback port.
func newCluster(t testing.TB) (s *Server, remote *rest.Config) {
	t.Helper()
	return clusterOn(t, newMember(t), who{})
}

// newMember is an embedded etcd until the test ends.
func newMember(t testing.TB) *etcd.Server {
	t.Helper()
	member, err := etcd.Start(context.Background(), etcd.Config{Dir: t.TempDir(), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(member.Stop)
	return member
}

// clusterOn is newCluster on what a member holds, where may says who may do what.
func clusterOn(t testing.TB, member *etcd.Server, may request.Authorizer) (s *Server, remote *rest.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	st, err := store.Open(ctx, store.Options{Etcd: member, DetectMutation: true, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	all := served(t, st, kinds.All())
	if err := st.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t)
	s, err = New(Options{Store: st, Served: all, Listener: ln, TLS: TLS{Certificate: &pair}, Authenticator: who{}, Authorizer: may,
		Discovery: discovery.New(all), OpenAPI: openapi.New(all), Applier: apply.New(all, scheme.New())})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		st.Close()
	})
	<-s.Ready()
	remote = &rest.Config{Host: "https://" + ln.Addr().String(), TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1}
	return s, remote
}

func selfSigned(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTransports runs the same calls over TLS in JSON and protobuf and in
// process: a client cannot tell them apart.
func TestTransports(t *testing.T) {
	s, remote := newCluster(t)
	proto := rest.CopyConfig(remote)
	proto.ContentType, proto.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	inside := s.ClientConfig(admin)
	for name, c := range map[string]*rest.Config{"json": remote, "protobuf": proto, "inside": inside} {
		t.Run(name, func(t *testing.T) { exercise(t, kubernetes.NewForConfigOrDie(c), "ns-"+name) })
	}
}

func exercise(t *testing.T, kube kubernetes.Interface, ns string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	maps := kube.CoreV1().ConfigMaps(ns)
	w, err := maps.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, n := range []string{"a", "b", "c"} {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: n, Labels: map[string]string{"n": n}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("creating twice: %v", err)
	}
	page, err := maps.List(ctx, metav1.ListOptions{Limit: 2})
	if err != nil || len(page.Items) != 2 || page.Continue == "" || page.RemainingItemCount == nil || *page.RemainingItemCount != 1 {
		t.Fatalf("first page: %v %+v", err, page)
	}
	rest, err := maps.List(ctx, metav1.ListOptions{Limit: 2, Continue: page.Continue})
	if err != nil || len(rest.Items) != 1 || rest.Items[0].Name != "c" || rest.Continue != "" {
		t.Fatalf("second page: %v %+v", err, rest)
	}
	got, err := maps.Patch(ctx, "a", types.StrategicMergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{})
	if err != nil || got.Data["k"] != "v" {
		t.Fatalf("patch: %v %v", err, got)
	}
	same, err := maps.Update(ctx, got.DeepCopy(), metav1.UpdateOptions{})
	if err != nil || same.ResourceVersion != got.ResourceVersion {
		t.Fatalf("an update that changes nothing: %v, revision %s then %s", err, got.ResourceVersion, same.ResourceVersion)
	}
	stale := got.DeepCopy()
	stale.ResourceVersion, stale.Data = "1", nil
	if _, err := maps.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("stale update: %v", err)
	}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "n in (b,c)"}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get of what is gone: %v", err)
	}
	expectEvents(t, ctx, w, "ADDED a", "ADDED b", "ADDED c", "MODIFIED a", "DELETED b", "DELETED c", "DELETED a")
}

func expectEvents(t *testing.T, ctx context.Context, w watch.Interface, want ...string) {
	t.Helper()
	var got []string
	for len(got) < len(want) {
		select {
		case ev, ok := <-w.ResultChan():
			if !ok {
				t.Fatalf("watch ended after %v", got)
			}
			got = append(got, string(ev.Type)+" "+ev.Object.(metav1.Object).GetName())
		case <-ctx.Done():
			t.Fatalf("only saw %v", got)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// TestSource: informers in the process hold the store's own objects.
func TestSource(t *testing.T) {
	s, _ := newCluster(t)
	kube := kubernetes.NewForConfigOrDie(s.ClientConfig(admin))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
	lw := s.Source(admin).ListerWatcher(gvr, kit.SourceOptions{Namespace: "d"})
	if _, err := s.Source(&request.User{Name: "nobody"}).ListerWatcher(gvr, kit.SourceOptions{}).ListWithContext(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("nobody listed: %v", err)
	}
	if _, err := kube.CoreV1().ConfigMaps("d").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := lw.ListWithContext(ctx, metav1.ListOptions{})
	if err != nil || len(list.(*kit.List).Items) != 1 {
		t.Fatal(list, err)
	}
	coll, _ := s.o.Store.Collection("", "configmaps")
	e, err := coll.Get(ctx, store.Key{Namespace: "d", Name: "a"}, store.Freshness{})
	if err != nil || list.(*kit.List).Items[0] != runtime.Object(e.Object) {
		t.Error("the list holds a copy of the store's object")
	}
	yes := true
	w, err := lw.WatchWithContext(ctx, metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		t.Fatal(err)
	}
	ev := <-w.ResultChan()
	if ev.Type != watch.Added || ev.Object != runtime.Object(e.Object) {
		t.Errorf("first event %v", ev)
	}
	ev = <-w.ResultChan()
	if ev.Type != watch.Bookmark || ev.Object.(metav1.Object).GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
		t.Errorf("second event %v", ev)
	}
	w.Stop()
	for range w.ResultChan() {
	}
	_, err = lw.WatchWithContext(ctx, metav1.ListOptions{SendInitialEvents: &yes, AllowWatchBookmarks: true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, ResourceVersion: "9999999999"})
	if !apierrors.IsTimeout(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("a revision that is not there yet: %v", err)
	}
	inf := cache.NewSharedIndexInformer(cacheBoth{lw}, &corev1.ConfigMap{}, 0, nil)
	go inf.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), inf.HasSynced) {
		t.Fatal("informer did not sync")
	}
}

// cacheBoth adds the methods without a context that client-go still wants.
type cacheBoth struct {
	cache.ListerWatcherWithContext
}

func (b cacheBoth) List(o metav1.ListOptions) (runtime.Object, error) {
	return b.ListWithContext(context.Background(), o)
}
func (b cacheBoth) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return b.WatchWithContext(context.Background(), o)
}

// TestVersions: events are one collection under two group-versions.
func TestVersions(t *testing.T) {
	s, _ := newCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	kube := kubernetes.NewForConfigOrDie(s.ClientConfig(admin))
	now := metav1.NewMicroTime(time.Now())
	made, err := kube.EventsV1().Events("d").Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e-"}, EventTime: now, ReportingController: "x/y", ReportingInstance: "i",
		Action: "Did", Reason: "Because", Type: "Normal", Note: "text", Regarding: corev1.ObjectReference{Kind: "Pod", Namespace: "d", Name: "p"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	core, err := kube.CoreV1().Events("d").Get(ctx, made.Name, metav1.GetOptions{})
	if err != nil || core.Message != "text" || core.InvolvedObject.Name != "p" {
		t.Fatalf("%+v %v", core, err)
	}
	if _, err := kube.EventsV1().Events("d").Patch(ctx, made.Name, types.MergePatchType, []byte(`{"series":{"count":2,"lastObservedTime":"2026-01-01T00:00:00.000000Z"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := kube.EventsV1().Events("d").List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Series == nil || list.Items[0].Series.Count != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	found, err := kube.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=p,reason=Because"})
	if err != nil || len(found.Items) != 1 {
		t.Fatalf("%+v %v", found, err)
	}
}

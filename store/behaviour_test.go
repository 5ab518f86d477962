package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/internal/bounds"
	"hyperkube/store/backend"
	"hyperkube/store/etcd"
	"hyperkube/store/seal"
)

func secretResource() Resource {
	return Resource{
		Name: "secrets", Prefix: "secrets", Namespaced: true, Encrypted: true,
		GVK: schema.GroupVersionKind{Version: "v1", Kind: "Secret"},
		New: func() Object { return &corev1.Secret{} },
	}
}

func TestLinearizable(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	listening, err := etcd.Start(t.Context(), etcd.Config{Dir: t.TempDir(), Ephemeral: true, ListenClient: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(listening.Stop)
	alone := openStore(t, Options{})
	near, far := openStore(t, Options{Etcd: listening}), openStore(t, Options{Servers: []string{socket}})
	for name, servers := range map[string][]*Store{"exclusive": {alone}, "two servers": {near, far}} {
		t.Run(name, func(t *testing.T) { linearizable(t, servers) })
	}
}

// linearizable writes through all servers and reads through all of them: a
// read sees at least every write that was acknowledged before it began, and no
// reader ever goes back.
func linearizable(t *testing.T, servers []*Store) {
	key := Key{"a", "counter"}
	p := pod("a", "counter", "")
	p.Annotations = map[string]string{"n": "0"}
	if _, err := pods(t, servers[0]).Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	var acked atomic.Int64
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 4 {
		c := pods(t, servers[i%len(servers)])
		writers.Go(func() {
			for range 200 {
				e, err := c.Update(t.Context(), key, increment)
				if err != nil {
					t.Error(err)
					return
				}
				for n := acked.Load(); n < count(e) && !acked.CompareAndSwap(n, count(e)); n = acked.Load() {
				}
			}
		})
		readers.Go(func() {
			last := int64(0)
			for {
				select {
				case <-done:
					return
				default:
				}
				low := max(last, acked.Load())
				e, err := c.Get(t.Context(), key, Freshness{})
				if err != nil || count(e) < low {
					t.Errorf("read %v, %v after %d was acknowledged", e, err, low)
					return
				}
				last = count(e)
				runtime.Gosched() // two cores for all
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	for _, s := range servers {
		e, err := pods(t, s).Get(t.Context(), key, Freshness{})
		if err != nil || count(e) != 800 {
			t.Error(count(e), err)
		}
	}
}

func TestFuture(t *testing.T) {
	s := openStore(t, Options{})
	c := pods(t, s)
	began := time.Now()
	if _, err := c.Get(t.Context(), Key{"a", "b"}, Freshness{Min: 1000}); !errors.Is(err, ErrFuture) {
		t.Fatal(err)
	}
	if d := time.Since(began); d < futureLimit || d > 2*futureLimit {
		t.Fatal(d)
	}
	if _, err := c.Watch(t.Context(), WatchOptions{Initial: true, Latest: true, EndOfInitial: true, Min: 1000}); !errors.Is(err, ErrFuture) {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := c.List(t.Context(), ListOptions{Freshness: Freshness{Min: s.Revision() + 1}})
		got <- err
	}()
	if _, err := c.Create(t.Context(), pod("a", "b", "")); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestSlowWatcher(t *testing.T) {
	c := pods(t, openStore(t, Options{}))
	slow, err := c.Watch(t.Context(), WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	quick, err := c.Watch(t.Context(), WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 1)
	go func() {
		n := 0
		for n <= bounds.WatchEvents {
			evs, err := quick.Next(t.Context())
			if err != nil {
				t.Error(err)
				break
			}
			n += len(evs)
		}
		seen <- n
	}()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := 0; j <= bounds.WatchEvents/8; j++ {
				if _, err := c.Create(t.Context(), pod("a", fmt.Sprintf("p-%d-%d", i, j), "")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if _, err := slow.Next(t.Context()); !errors.Is(err, ErrSlow) {
		t.Fatal(err)
	}
	<-seen
	slow.Stop()
	quick.Stop()
}

func TestExpiredPages(t *testing.T) {
	e := startEtcd(t)
	s := openStore(t, Options{Etcd: e})
	c := pods(t, s)
	for i := range 10 {
		if _, err := c.Create(t.Context(), pod("a", fmt.Sprint("p", i), "")); err != nil {
			t.Fatal(err)
		}
	}
	l, err := c.List(t.Context(), ListOptions{Limit: 3})
	if err != nil || *l.Remaining != 7 {
		t.Fatal(l, err)
	}
	if _, err := c.Delete(t.Context(), Key{"a", "p5"}, nil); err != nil {
		t.Fatal(err)
	}
	s.kept.clear()
	c.mu.Lock()
	c.ring.reset(c.snap.Load().rev)
	c.mu.Unlock()
	if second, err := c.List(t.Context(), ListOptions{Limit: 3, Continue: l.Continue}); err != nil || len(names(second)) != 3 {
		t.Fatal("page from etcd's history:", err)
	}
	s.kept.clear()
	if err := s.backend.Compact(t.Context(), s.Revision()); err != nil {
		t.Fatal(err)
	}
	_, err = c.List(t.Context(), ListOptions{Limit: 3, Continue: l.Continue})
	var gone *ExpiredTokenError
	if !errors.Is(err, ErrExpired) || !errors.As(err, &gone) {
		t.Fatal(err)
	}
	rest, err := c.List(t.Context(), ListOptions{Continue: gone.Continue})
	if err != nil || len(names(rest)) != 6 {
		t.Fatal("going on at the present revision:", names(rest), err)
	}
	for _, bad := range []string{"x", "e30", token{Revision: 5, Start: "b/p1\x00"}.String()} {
		_, err := c.List(t.Context(), ListOptions{Filter: Filter{Namespace: "a"}, Continue: bad})
		if !errors.Is(err, ErrBadToken) {
			t.Error(bad, err)
		}
	}
}

func TestLateRegistration(t *testing.T) {
	e := startEtcd(t)
	first := openStore(t, Options{Etcd: e}, secretPlain())
	sec, _ := first.Collection("", "secrets")
	if _, err := sec.Create(t.Context(), secret("s1")); err != nil {
		t.Fatal(err)
	}
	second := openStore(t, Options{Etcd: e})
	if err := second.Register(secretPlain()); err != nil {
		t.Fatal(err)
	}
	late, _ := second.Collection("", "secrets")
	l, err := late.List(t.Context(), ListOptions{})
	if err != nil || len(names(l)) != 1 {
		t.Fatal(names(l), err)
	}
	w, err := late.Watch(t.Context(), WatchOptions{From: l.Revision})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Create(t.Context(), secret("s2")); err != nil {
		t.Fatal(err)
	}
	if evs, err := w.Next(t.Context()); err != nil || evs[0].Type != watch.Added || evs[0].Entry.Key.Name != "s2" {
		t.Fatal(evs, err)
	}
	if err := second.Register(secretPlain()); err == nil {
		t.Fatal("registered twice")
	}
}

func secretPlain() Resource {
	r := secretResource()
	r.Encrypted = false
	return r
}

func secret(name string) *corev1.Secret {
	s := &corev1.Secret{Data: map[string][]byte{"password": []byte("very secret")}}
	s.Namespace, s.Name = "a", name
	return s
}

func TestSecretsAreSealed(t *testing.T) {
	e := startEtcd(t)
	bare, err := Open(t.Context(), Options{Etcd: e})
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.Register(secretResource()); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Fatal("registered without a key:", err)
	}
	keys := filepath.Join(t.TempDir(), "encryption.yaml")
	config, err := seal.Create(keys, "secrets")
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(keys); info.Mode().Perm() != 0o600 {
		t.Error("mode of the key file", info.Mode())
	}
	plain := openStore(t, Options{Etcd: e}, secretPlain())
	old, _ := plain.Collection("", "secrets")
	if _, err := old.Create(t.Context(), secret("old")); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, Options{Etcd: e, Keys: config}, secretResource())
	c, _ := s.Collection("", "secrets")
	if _, err := c.Create(t.Context(), secret("new")); err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string]bool{"old": false, "new": true} {
		p, err := s.backend.Range(t.Context(), backend.Range{Start: "/registry/secrets/a/" + name, End: "/registry/secrets/a/" + name + "\x00"})
		if err != nil {
			t.Fatal(err)
		}
		raw := p.KVs[0].Value
		if got := bytes.HasPrefix(raw, []byte("k8s:enc:aesgcm:v1:key-")); got != sealed || bytes.Contains(raw, []byte("very secret")) == sealed {
			t.Errorf("%s: %q", name, raw)
		}
	}
	again := openStore(t, Options{Etcd: e, Keys: config}, secretResource())
	c, _ = again.Collection("", "secrets")
	for _, name := range []string{"old", "new"} {
		got, err := c.Get(t.Context(), Key{"a", name}, Freshness{})
		if err != nil || string(got.Object.(*corev1.Secret).Data["password"]) != "very secret" {
			t.Error(name, err)
		}
	}
}

func TestTimeToLive(t *testing.T) {
	r := podResource()
	r.TTLSeconds = 1
	s := openStore(t, Options{}, r)
	c := pods(t, s)
	for i := range 3 {
		if _, err := c.Create(t.Context(), pod("a", fmt.Sprint("p", i), "")); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.leases.byTTL[1].left; left != leaseObjects-3 {
		t.Error("objects do not share a lease:", left)
	}
	w, err := c.Watch(t.Context(), WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for gone := 0; gone < 3; {
		evs, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range evs {
			if ev.Type != watch.Deleted {
				t.Fatal(ev)
			}
			gone++
		}
	}
}

func TestUntypedObjects(t *testing.T) {
	gvk := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Foo"}
	r := Resource{
		Group: "example.com", Name: "foos", Prefix: "example.com/foos", Namespaced: true, GVK: gvk,
		New: func() Object { return &unstructured.Unstructured{} },
	}
	s := openStore(t, Options{DetectMutation: true}, r)
	c, _ := s.Collection("example.com", "foos")
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"a": int64(1)}}}
	u.SetGroupVersionKind(gvk)
	u.SetNamespace("a")
	u.SetName("x")
	e, err := c.Create(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	same, err := c.Update(t.Context(), e.Key, func(e *Entry) (Object, error) { return e.Object.DeepCopyObject().(Object), nil })
	if err != nil || same != e {
		t.Fatal("no-op was written", err)
	}
	second := openStore(t, Options{Etcd: s.opts.Etcd}, r)
	c2, _ := second.Collection("example.com", "foos")
	got, err := c2.Get(t.Context(), e.Key, Freshness{})
	if err != nil || got.Revision != e.Revision {
		t.Fatal(got, err)
	}
	if _, err := c.Delete(t.Context(), e.Key, nil); err != nil {
		t.Fatal(err)
	}
}

func TestMutationIsDetected(t *testing.T) {
	s := openStore(t, Options{DetectMutation: true})
	c := pods(t, s)
	e, err := c.Create(t.Context(), pod("a", "b", ""))
	if err != nil {
		t.Fatal(err)
	}
	e.Object.SetLabels(nil)
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "was changed by a reader") {
			t.Fatal(p)
		}
		e.Object.SetLabels(map[string]string{"app": "a"})
	}()
	c.verifyAll()
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	s := openStore(t, Options{Registerer: r})
	if _, err := pods(t, s).Create(t.Context(), pod("a", "b", "")); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range families {
		got[f.GetName()] = true
	}
	for _, want := range []string{
		"etcd_request_duration_seconds", "etcd_requests_total", "apiserver_storage_objects", "apiserver_resource_objects",
		"apiserver_watch_cache_events_received_total", "apiserver_storage_size_bytes",
	} {
		if !got[want] {
			t.Error("missing", want)
		}
	}
}

func TestClosedStore(t *testing.T) {
	s := openStore(t, Options{})
	c := pods(t, s)
	w, err := c.Watch(t.Context(), WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := c.Create(t.Context(), pod("a", "b", "")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := c.Get(t.Context(), Key{"a", "b"}, Freshness{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store/etcd"
)

func podResource() Resource {
	return Resource{
		Name: "pods", Prefix: "pods", Namespaced: true,
		GVK: schema.GroupVersionKind{Version: "v1", Kind: "Pod"},
		New: func() Object { return &corev1.Pod{} },
		Indexes: []Index{{Name: "spec.nodeName", Value: func(o Object) string {
			return o.(*corev1.Pod).Spec.NodeName
		}}},
	}
}

func startEtcd(t testing.TB) *etcd.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, err := etcd.Start(ctx, etcd.Config{Dir: t.TempDir(), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

func openStore(t testing.TB, o Options, resources ...Resource) *Store {
	t.Helper()
	if o.Etcd == nil && o.Servers == nil && o.backend == nil {
		o.Etcd = startEtcd(t)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(resources) == 0 {
		resources = []Resource{podResource()}
	}
	for _, r := range resources {
		if err := s.Register(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func pods(t testing.TB, s *Store) *collection {
	t.Helper()
	c, ok := s.Collection("", "pods")
	if !ok {
		t.Fatal("no pods")
	}
	return c.(*collection)
}

func pod(ns, name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "nginx"}}},
	}
}

func TestLife(t *testing.T) {
	s := openStore(t, Options{DetectMutation: true})
	c := pods(t, s)
	ctx := t.Context()
	w, err := c.Watch(ctx, WatchOptions{Initial: true, EndOfInitial: true})
	if err != nil {
		t.Fatal(err)
	}
	evs, err := w.Next(ctx)
	if err != nil || len(evs) != 1 || !evs[0].InitialEventsEnd {
		t.Fatal(evs, err)
	}
	e, err := c.Create(ctx, pod("default", "a", ""))
	if err != nil {
		t.Fatal(err)
	}
	if e.Object.GetResourceVersion() != fmt.Sprint(e.Revision) {
		t.Fatal("revision", e.Object.GetResourceVersion(), e.Revision)
	}
	if _, err := c.Create(ctx, pod("default", "a", "")); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	got, err := c.Get(ctx, e.Key, Freshness{})
	if err != nil || got != e {
		t.Fatal(got, err)
	}
	same, err := c.Update(ctx, e.Key, func(e *Entry) (Object, error) { return e.Object.DeepCopyObject().(Object), nil })
	if err != nil || same != e {
		t.Fatal("no-op wrote", same, err)
	}
	u, err := c.Update(ctx, e.Key, func(e *Entry) (Object, error) {
		p := e.Object.DeepCopyObject().(*corev1.Pod)
		p.Spec.NodeName = "n1"
		return p, nil
	})
	if err != nil || u.Revision <= e.Revision {
		t.Fatal(u, err)
	}
	d, err := c.Delete(ctx, e.Key, nil)
	if err != nil || d.Revision <= u.Revision || d.Object.GetResourceVersion() != fmt.Sprint(d.Revision) {
		t.Fatal(d, err)
	}
	if _, err := c.Delete(ctx, e.Key, nil); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	want := []watch.EventType{watch.Added, watch.Modified, watch.Deleted}
	for len(want) > 0 {
		evs, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range evs {
			if ev.Type != want[0] {
				t.Fatal(ev.Type, want[0])
			}
			want = want[1:]
		}
	}
	if n := s.pendings.n.Load(); n != 0 {
		t.Fatal("pending writes left", n)
	}
}

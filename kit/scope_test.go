package kit

import (
	"context"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// fakeSource has one watch to feed.
type fakeSource struct{ events *watch.FakeWatcher }

func (s fakeSource) ListerWatcher(schema.GroupVersionResource, SourceOptions) cache.ListerWatcherWithContext {
	return plainLists{&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return s.events, nil },
	}}
}

type plainLists struct{ *cache.ListWatch }

func (plainLists) IsWatchListSemanticsUnSupported() bool { return true }

func TestAScopeTakesItsHandlersAway(t *testing.T) {
	source := fakeSource{watch.NewFake()}
	all := NewInformers(source, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- all.Run(ctx) }()
	listen := func(f *Informers) chan string {
		got := make(chan string, 9)
		InformerFor[*corev1.Node](f, corev1.SchemeGroupVersion.WithResource("nodes")).OnChange(Handler[*corev1.Node]{
			Add: func(n *corev1.Node, _ bool) { got <- n.Name },
		})
		return got
	}
	first, second := all.Scope(), all.Scope()
	always, gone, stays := listen(all), listen(first), listen(second)
	add := func(name string) {
		source.events.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "2"}})
	}
	expect := func(name string, from ...chan string) {
		for _, c := range from {
			if got := <-c; got != name {
				t.Errorf("told of %q, want %q", got, name)
			}
		}
	}
	add("a")
	expect("a", always, gone, stays)
	first.Close()
	late := listen(first)
	add("b")
	expect("b", always, stays)
	second.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(gone)+len(late) != 0 {
		t.Error("a closed scope still listens")
	}
}

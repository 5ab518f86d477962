package kubelet

import (
	"context"
	"strings"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"hyperkube/kit"
)

// fakeAPI is an API server in memory: client-go's fake with field selectors on watches and with tokens.
type fakeAPI struct{ *fake.Clientset }

func newAPI(objs ...runtime.Object) *fakeAPI {
	c := fake.NewClientset(objs...)
	c.PrependReactor("create", "serviceaccounts", func(a ktesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "token" {
			return false, nil, nil
		}
		return true, &authv1.TokenRequest{Status: authv1.TokenRequestStatus{Token: "a-token",
			ExpirationTimestamp: metav1.Time{Time: time.Now().Add(time.Hour)}}}, nil
	})
	return &fakeAPI{c}
}

// ListerWatcher implements kit.Source.
func (f *fakeAPI) ListerWatcher(gvr schema.GroupVersionResource, o kit.SourceOptions) cache.ListerWatcherWithContext {
	return &fakeLW{f: f, gvr: gvr, o: o}
}

type fakeLW struct {
	f   *fakeAPI
	gvr schema.GroupVersionResource
	o   kit.SourceOptions
}

func (l *fakeLW) IsWatchListSemanticsUnSupported() bool { return true }

func (l *fakeLW) keep(o runtime.Object) bool {
	sel := fields.ParseSelectorOrDie(l.o.FieldSelector)
	m := o.(metav1.Object)
	set := fields.Set{"metadata.name": m.GetName(), "metadata.namespace": m.GetNamespace()}
	if p, ok := o.(interface{ GetNodeName() string }); ok {
		set["spec.nodeName"] = p.GetNodeName()
	}
	if strings.Contains(l.o.FieldSelector, "nodeName") {
		return true
	}
	return sel.Matches(set)
}

func (l *fakeLW) ListWithContext(_ context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	kinds := map[string]string{"pods": "Pod", "nodes": "Node", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret"}
	list, err := l.f.Tracker().List(l.gvr, l.gvr.GroupVersion().WithKind(kinds[l.gvr.Resource]), l.o.Namespace)
	if err != nil {
		return nil, err
	}
	out := &kit.List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	return out, eachItem(list, func(o runtime.Object) {
		if l.keep(o) {
			out.Items = append(out.Items, o)
		}
	})
}

func (l *fakeLW) WatchWithContext(_ context.Context, _ metav1.ListOptions) (watch.Interface, error) {
	w, err := l.f.Tracker().Watch(l.gvr, l.o.Namespace)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) { return e, l.keep(e.Object) }), nil
}

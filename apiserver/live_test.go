package apiserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"

	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"
)

// TestKindsComeAndGo takes a kind out of a running server and puts it back. All
// that tells or does something of kinds follows at once: verbs, apply, watches,
// in-process reads, discovery, OpenAPI and what metrics call known.
func TestKindsComeAndGo(t *testing.T) {
	s, remote := newCluster(t)
	kube, err := kubernetes.NewForConfig(remote)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	gvr := appsv1.SchemeGroupVersion.WithResource("controllerrevisions")
	k := s.o.Served.Table().Find(gvr).Kind
	revisions := kube.AppsV1().ControllerRevisions("default")
	one := appsapply.ControllerRevision("one", "default").WithRevision(1).WithData(runtime.RawExtension{Raw: []byte("{}")}).WithLabels(map[string]string{"a": "b"})
	put := func() error {
		_, err := revisions.Apply(ctx, one, metav1.ApplyOptions{FieldManager: "test"})
		return err
	}
	is := func(what string, served bool) {
		t.Helper()
		if _, err := revisions.Get(ctx, "one", metav1.GetOptions{}); apierrors.IsNotFound(err) == served || err != nil && served {
			t.Error(what, "get:", err)
		}
		lists, err := kube.ServerResourcesForGroupVersion("apps/v1")
		if err != nil || slices.ContainsFunc(lists.APIResources, func(r metav1.APIResource) bool { return r.Name == gvr.Resource }) != served {
			t.Error(what, "discovery:", err)
		}
		for _, path := range []string{"/openapi/v3/apis/apps/v1", "/openapi/v2"} {
			raw, err := kube.RESTClient().Get().AbsPath(path).Do(ctx).Raw()
			if err != nil || strings.Contains(string(raw), "/controllerrevisions/{name}") != served {
				t.Error(what, path, err)
			}
		}
		info := &request.Info{IsResource: true, APIPrefix: "apis", Group: gvr.Group, Version: gvr.Version, Resource: gvr.Resource}
		if s.o.Served.Knows(info) != served {
			t.Error(what, "known:", !served)
		}
		if _, ok := s.verbs.Reads(gvr); ok != served {
			t.Error(what, "read in process:", ok)
		}
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	is("at first", true)
	if len(seriesOf(t, s, gvr.Resource)) == 0 {
		t.Error("no series of the kind at first")
	}
	w, err := revisions.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.o.Served.Remove(gvr); err != nil {
		t.Fatal(err)
	}
	is("removed", false)
	seriesOf(t, s, gvr.Resource)
	if series := seriesOf(t, s, gvr.Resource); len(series) > 0 {
		t.Error("series of the removed kind:", series)
	}
	if err := put(); !apierrors.IsNotFound(err) {
		t.Error("applied to what is gone:", err)
	}
	for e := range w.ResultChan() { // ends
		if e.Type == watch.Error {
			t.Error("the watch ended with", e.Object)
		}
	}
	if err := s.o.Served.Add(k); err != nil {
		t.Fatal(err)
	}
	is("added again", true)
	one.ObjectMetaApplyConfiguration = metaapply.ObjectMeta().WithName("one").WithNamespace("default").WithLabels(map[string]string{"a": "c"})
	if err := put(); err != nil {
		t.Error("applying after all:", err)
	}
	if err := s.o.Served.Add(k); !errors.Is(err, registry.ErrTaken) {
		t.Error("added twice:", err)
	}
}

// seriesOf are the metrics with a series that names a resource.
func seriesOf(t *testing.T, s *Server, resource string) (names []string) {
	t.Helper()
	families, err := s.o.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "resource" && l.GetValue() == resource {
					names = append(names, f.GetName())
				}
			}
		}
	}
	return names
}

// TestElsewhere: the requests of a group-version that another server serves go
// there, with the user known, and no others.
func TestElsewhere(t *testing.T) {
	s, _ := newTestServer(t)
	var got []string
	other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, request.UserFrom(r.Context()).Name+" "+r.URL.Path)
		w.WriteHeader(http.StatusTeapot)
	})
	metrics := schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"}
	if err := s.o.Served.Delegate(metrics, other); err != nil {
		t.Fatal(err)
	}
	ask := func(path string) int {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, path, nil))
		return w.Code
	}
	for path, code := range map[string]int{
		"/apis/metrics.k8s.io/v1beta1/nodes": http.StatusTeapot,
		"/apis/metrics.k8s.io/v1/nodes":      http.StatusNotFound,
		"/api/v1/namespaces/d/pods":          http.StatusOK,
	} {
		if have := ask(path); have != code {
			t.Errorf("%s: %d, want %d", path, have, code)
		}
	}
	if !slices.Equal(got, []string{"admin /apis/metrics.k8s.io/v1beta1/nodes"}) {
		t.Error(got)
	}
	if err := s.o.Served.Delegate(schema.GroupVersion{Version: "v1"}, other); !errors.Is(err, registry.ErrTaken) {
		t.Error("took core away:", err)
	}
	if err := s.o.Served.Delegate(metrics, nil); err != nil || ask("/apis/metrics.k8s.io/v1beta1/nodes") != http.StatusNotFound {
		t.Error("not taken back:", err)
	}
}

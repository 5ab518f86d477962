package openapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/rest"
	explain "k8s.io/kubectl/pkg/explain/v2"
	"k8s.io/kubectl/pkg/util/openapi"
	"k8s.io/kubectl/pkg/validation"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/storetest"
)

func serve(t testing.TB) (*handler, *discovery.DiscoveryClient) {
	t.Helper()
	r, err := registry.Of(registry.Options{Store: storetest.New(), Scheme: scheme.New()}, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	h := New(r)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h.(*handler), discovery.NewDiscoveryClientForConfigOrDie(&rest.Config{Host: s.URL})
}

// TestExplain runs what `kubectl explain` runs.
func TestExplain(t *testing.T) {
	_, c := serve(t)
	for _, e := range []struct {
		gvr   schema.GroupVersionResource
		path  []string
		wants []string
	}{
		{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, []string{"spec", "strategy"},
			[]string{"KIND:       Deployment", "FIELD: strategy <DeploymentStrategy>", "rollingUpdate\t<RollingUpdateDeployment>", "    maxSurge\t<IntOrString>", "type\t<string>"}},
		{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, []string{"spec", "containers"},
			[]string{"FIELD: containers <[]Container>", "name\t<string> -required-", "env\t<[]EnvVar>", "limits\t<map[string]Quantity>"}},
		{schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}, nil, []string{"KIND:       Event", "regarding\t<ObjectReference>"}},
		{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, []string{"metadata", "creationTimestamp"}, []string{"<string>"}},
	} {
		var b bytes.Buffer
		if err := explain.PrintModelDescription(e.path, &b, c.OpenAPIV3(), e.gvr, true, 0, "plaintext"); err != nil {
			t.Fatalf("%v: %v", e.gvr, err)
		}
		for _, w := range e.wants {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%v %v: no %q in\n%s", e.gvr, e.path, w, b.String())
			}
		}
	}
}

// TestValidation runs what `kubectl apply --validate` runs without the server's help.
func TestValidation(t *testing.T) {
	_, c := serve(t)
	doc, err := c.OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	resources, err := openapi.NewOpenAPIData(doc)
	if err != nil {
		t.Fatal(err)
	}
	v := validation.NewSchemaValidation(staticResources{resources})
	good := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	if err := v.ValidateBytes([]byte(good)); err != nil {
		t.Errorf("good: %v", err)
	}
	bad := strings.Replace(good, `"selector"`, `"replicaz":1,"selector"`, 1)
	if err := v.ValidateBytes([]byte(bad)); err == nil || !strings.Contains(err.Error(), "replicaz") {
		t.Errorf("bad: %v", err)
	}
}

type staticResources struct{ r openapi.Resources }

func (s staticResources) OpenAPISchema() (openapi.Resources, error) { return s.r, nil }

// TestQueryParams runs how kubectl finds out whether the server validates fields.
func TestQueryParams(t *testing.T) {
	_, c := serve(t)
	root := openapi3.NewRoot(c.OpenAPIV3())
	for _, gvk := range []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Namespace"}, {Group: "apps", Version: "v1", Kind: "Deployment"}} {
		gv, err := root.GVSpec(gvk.GroupVersion())
		if err != nil {
			t.Fatal(err)
		}
		if len(gv.Paths.Paths) == 0 || len(gv.Components.Schemas) == 0 {
			t.Errorf("%v: empty", gvk)
		}
		if err := resource.NewQueryParamVerifierV3(nil, c.OpenAPIV3(), resource.QueryParamFieldValidation).HasSupport(gvk); err != nil {
			t.Errorf("%v: %v", gvk, err)
		}
	}
}

func TestServing(t *testing.T) {
	h, _ := serve(t)
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	start := time.Now()
	index := get("/openapi/v3")
	t.Logf("index after %v", time.Since(start))
	var doc struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := json.Unmarshal(index.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	url := doc.Paths["apis/apps/v1"].ServerRelativeURL
	if w := get(url); w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %d %v", url, w.Code, w.Header())
	}
	if w := get("/openapi/v3/apis/apps/v1?hash=00"); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != url {
		t.Errorf("stale hash: %d %v", w.Code, w.Header())
	}
	etag := get("/openapi/v3/api/v1").Header().Get("ETag")
	if w := get("/openapi/v3/api/v1", "If-None-Match", etag); w.Code != http.StatusNotModified {
		t.Errorf("ETag: %d", w.Code)
	}
	start = time.Now()
	v2 := get("/openapi/v2")
	t.Logf("v2 JSON after %v: %d bytes", time.Since(start), v2.Body.Len())
	start = time.Now()
	w := get("/openapi/v2", "Accept", mediaV2, "Accept-Encoding", "gzip")
	t.Logf("v2 protobuf after %v: %d bytes", time.Since(start), w.Body.Len())
	if w.Code != 200 || w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("v2: %d %v", w.Code, w.Header())
	}
	if w := get("/openapi/v3/api/v1", "Accept", mediaV3); w.Code != 200 {
		t.Errorf("v3 protobuf: %d %s", w.Code, w.Body)
	}
	if w := get("/openapi/v3/apis/none/v1"); w.Code != 404 {
		t.Errorf("unknown group: %d", w.Code)
	}
	docs, err := h.v3.Get()
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, f := range docs.byName {
		kept += len(f.zipped)
	}
	t.Logf("kept for v3: %d bytes", kept)
}

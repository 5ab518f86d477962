package discovery

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientdiscovery "k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/storetest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	r, err := registry.Of(registry.Options{Store: storetest.New(), Scheme: scheme.New()}, kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	h := New(r)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// TestGolden prints everything a client learns, by both forms, which must agree.
func TestGolden(t *testing.T) {
	s := serve(t)
	var texts []string
	for _, legacy := range []bool{false, true} {
		c := clientdiscovery.NewDiscoveryClientForConfigOrDie(&rest.Config{Host: s.URL})
		c.UseLegacyDiscovery = legacy
		groups, lists, err := c.ServerGroupsAndResources()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, g := range groups {
			fmt.Fprintf(&b, "group %q prefers %s\n", g.Name, g.PreferredVersion.Version)
		}
		// The client hands out the lists of the aggregated form in no order.
		slices.SortFunc(lists, func(a, b *metav1.APIResourceList) int { return strings.Compare(a.GroupVersion, b.GroupVersion) })
		for _, l := range lists {
			fmt.Fprintf(&b, "%s\n", l.GroupVersion)
			for _, r := range l.APIResources {
				if strings.Contains(r.Name, "/") {
					r.SingularName = "" // the client makes one up for the aggregated form
				}
				gvk := schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
				if gv, _ := schema.ParseGroupVersion(l.GroupVersion); gvk.GroupVersion() == gv {
					gvk.Group, gvk.Version = "", ""
				}
				fmt.Fprintf(&b, "  %s (%s) %s namespaced=%t short=%v in=%v %v\n", r.Name, r.SingularName, strings.Trim(gvk.GroupVersion().String()+" "+gvk.Kind, " /"), r.Namespaced, r.ShortNames, r.Categories, r.Verbs)
			}
		}
		texts = append(texts, b.String())
	}
	if d := cmp.Diff(texts[1], texts[0]); d != "" {
		t.Errorf("aggregated differs from plain:\n%s", d)
	}
	const golden = "testdata/discovery.txt"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(texts[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), texts[1]); d != "" {
		t.Errorf("run with -rewrite if this is meant:\n%s", d)
	}
}

func TestNegotiation(t *testing.T) {
	s := serve(t)
	get := func(path, accept, etag string) (*http.Response, []byte) {
		t.Helper()
		r, _ := http.NewRequest("GET", s.URL+path, nil)
		r.Header.Set("Accept", accept)
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(res.Body); err != nil {
			t.Fatal(err)
		}
		return res, b.Bytes()
	}
	v2 := "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	for _, c := range []struct {
		path, accept, contentType string
		status                    int
	}{
		{"/apis", v2 + ",application/json", v2, 200},
		{"/apis", "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json", "application/json", 200},
		{"/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", 200},
		{"/apis/apps", v2 + ",application/json", "application/json", 200},
		{"/apis/apps/v1", "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf", 200},
		{"/api/v1/", "*/*", "application/json", 200},
		{"/apis/none", "*/*", "text/plain; charset=utf-8", 404},
		{"/apis", "text/html", "text/plain; charset=utf-8", 406},
	} {
		res, body := get(c.path, c.accept, "")
		if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s %s: %d %s %.80s", c.path, c.accept, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
	}
	first, _ := get("/apis", v2, "")
	if again, body := get("/apis", v2, first.Header.Get("ETag")); again.StatusCode != 304 || len(body) != 0 {
		t.Errorf("ETag: %d", again.StatusCode)
	}
}

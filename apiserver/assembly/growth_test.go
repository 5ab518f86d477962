package assembly_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"hyperkube/internal/pki"
)

// Small requests that would become large, or take for ever, are refused at every entrance,
// at a cost that fits their size; dry runs are no way around.
func TestGrowthIsRefused(t *testing.T) {
	c := start(t)
	admin := c.raw(t)
	prepare(t, c)
	const pods = "/api/v1/namespaces/default/pods"
	if code, body := admin("POST", pods, "application/json", `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`); code != 201 {
		t.Fatal(code, body)
	}
	const odd = `{"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1e-999999999"}}}]}}`
	named := strings.Replace(odd, `{"spec"`, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q"},"spec"`, 1)
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: q}\ndata: {a: &a " + strings.Repeat("x", 1<<20) + "}\nb: [" + strings.Repeat("*a,", 20_000) + "]\n"
	deep := strings.Repeat(`{"a":`, 8000) + "1" + strings.Repeat("}", 8000)
	many := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q"},"spec":{"containers":[` + strings.Repeat("{},", 950_000) + `{}]}}`
	owners := `{"metadata":{"name":"q","ownerReferences":[` + strings.Repeat("{},", 950_000) + `{}]},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	for _, r := range []struct {
		name, method, path, kind, body string
		code                           int
		says                           string
	}{
		{"aliases, created", "POST", "/api/v1/namespaces/default/configmaps", "application/yaml", bomb, 413, "aliases"},
		{"aliases, applied", "PATCH", "/api/v1/namespaces/default/configmaps/q?fieldManager=a", "application/apply-patch+yaml", bomb, 413, "aliases"},
		{"aliases, dry", "POST", "/api/v1/namespaces/default/configmaps?dryRun=All", "application/yaml", bomb, 413, "aliases"},
		{"aliases in a scale", "PATCH", "/apis/apps/v1/namespaces/default/deployments/d/scale?fieldManager=a", "application/apply-patch+yaml", bomb, 413, "aliases"},
		{"copies", "PATCH", pods + "/p", "application/json-patch+json", copies(40), 413, "copy"},
		{"copies in status", "PATCH", pods + "/p/status", "application/json-patch+json", copies(40), 413, "copy"},
		{"operations", "PATCH", pods + "/p", "application/json-patch+json", "[" + strings.Repeat(`{"op":"remove","path":"/x"},`, 10_000) + `{"op":"remove","path":"/x"}]`, 413, "operations"},
		{"empty operations", "PATCH", pods + "/p", "application/json-patch+json", "[" + strings.Repeat(`{},`, 900_000) + `{}]`, 413, "too large"},
		{"containers", "POST", pods, "application/json", many, 413, "too large"},
		{"containers, dry", "POST", pods + "?dryRun=All", "application/json", many, 413, "too large"},
		{"containers, put", "PUT", pods + "/p", "application/json", many, 413, "too large"},
		{"containers, applied", "PATCH", pods + "/q?fieldManager=a", "application/apply-patch+yaml", many, 413, "too large"},
		{"containers, merged", "PATCH", pods + "/p", "application/merge-patch+json", many, 413, "too large"},
		{"containers, strategic", "PATCH", pods + "/p", "application/strategic-merge-patch+json", many, 413, "too large"},
		{"owners", "POST", pods, "application/json", owners, 413, "too large"},
		{"quantity, created", "POST", pods, "application/json", named, 400, "spec.containers[0].resources.limits[cpu]: quantity"},
		{"quantity, YAML", "POST", pods, "application/yaml", named, 400, "limits[cpu]: quantity"},
		{"quantity, put", "PUT", pods + "/p", "application/json", odd, 400, "limits[cpu]: quantity"},
		{"quantity, merged", "PATCH", pods + "/p", "application/merge-patch+json", odd, 400, "limits[cpu]: quantity"},
		{"quantity, strategic", "PATCH", pods + "/p", "application/strategic-merge-patch+json", odd, 400, "limits[cpu]: quantity"},
		{"quantity, applied", "PATCH", pods + "/q?fieldManager=a", "application/apply-patch+yaml", named, 400, "limits[cpu]: quantity"},
		{"quantity, JSON patch", "PATCH", pods + "/p", "application/json-patch+json",
			`[{"op":"add","path":"/spec/overhead","value":{"cpu":"1e-999999999"}}]`, 400, "spec.overhead[cpu]: quantity"},
		{"quantity, resized", "PATCH", pods + "/p/resize", "application/strategic-merge-patch+json", odd, 400, "limits[cpu]: quantity"},
		{"deep merge", "PATCH", pods + "/p", "application/merge-patch+json", deep, 400, "nested deeper"},
		{"deep strategic", "PATCH", pods + "/p", "application/strategic-merge-patch+json", deep, 400, "nested deeper"},
		{"deep apply", "PATCH", pods + "/p?fieldManager=a", "application/apply-patch+yaml", deep, 400, "nested deeper"},
		{"deep create", "POST", pods, "application/json", deep, 400, "nested deeper"},
		{"deep JSON patch", "PATCH", pods + "/p", "application/json-patch+json", `[{"op":"add","path":"/x","value":` + deep + `}]`, 400, "nested deeper"},
		{"deep options", "DELETE", pods + "/p", "application/json", deep, 400, "nested deeper"},
		{"many errors", "POST", pods, "application/json",
			`{"metadata":{"name":"q"},"spec":{"containers":[` + strings.Repeat(`{},`, 20_000) + `{}]}}`, 422, "more errors"},
		{"many unknown fields", "POST", pods + "?fieldValidation=Strict", "application/json", `{"metadata":{"name":"q"},"spec":{` + unknown(90_000) + `"containers":[]}}`, 400, "unknown field"},
		{"many unknown fields, warned", "POST", pods, "application/json", `{"metadata":{"name":"q"},"spec":{` + unknown(90_000) + `"containers":[]}}`, 422, "containers"},
	} {
		t.Run(r.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			code, body := admin(r.method, r.path, r.kind, r.body)
			runtime.ReadMemStats(&after)
			t.Logf("%d bytes in, %d MiB allocated, %v", len(r.body), (after.TotalAlloc-before.TotalAlloc)>>20, time.Since(began))
			if code != r.code || !strings.Contains(body, r.says) {
				t.Errorf("answered %d %.400s, want %d ...%s...", code, body, r.code, r.says)
			}
			if len(body) > 1<<20 {
				t.Errorf("the answer has %d bytes", len(body))
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
				t.Errorf("allocated %d MiB for %d bytes", n>>20, len(r.body))
			}
		})
	}
}

// prepare makes what pods need.
func prepare(t *testing.T, c *cluster) {
	got(c.client(t, c.config(t, pki.ConfAdmin)).CoreV1().ServiceAccounts("default").Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}))(t)
}

// copies doubles an object n times.
func copies(n int) string {
	var b strings.Builder
	b.WriteString(`[{"op":"add","path":"/metadata/annotations","value":{"a":"` + strings.Repeat("x", 100) + `"}}`)
	for i := range n {
		fmt.Fprintf(&b, `,{"op":"copy","from":"/metadata","path":"/metadata/x%d"}`, i)
	}
	return b.String() + "]"
}

func unknown(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"x%d":1,`, i)
	}
	return b.String()
}

// raw sends bodies as they are, as the administrator.
func (c *cluster) raw(t *testing.T) func(method, path, kind, body string) (int, string) {
	t.Helper()
	client, err := rest.HTTPClientFor(c.config(t, pki.ConfAdmin))
	if err != nil {
		t.Fatal(err)
	}
	return func(method, path, kind, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, c.url+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(out)
	}
}

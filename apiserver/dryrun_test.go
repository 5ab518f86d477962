package apiserver

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/resourcequota"
	"hyperkube/apiserver/allocate"
	"hyperkube/apiserver/apply"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// whole is a server of every kind on a store in memory, with an allocator, a
// token issuer and a quota on everything in namespace d.
type whole struct {
	t      *testing.T
	s      *Server
	st     *storetest.Store
	kinds  []*kind.Kind
	issued int
}

func (w *whole) Audiences() []string { return []string{"api"} }
func (w *whole) Issue(context.Context, kind.TokenClaims) (string, time.Time, error) {
	w.issued++
	return "token", time.Unix(0, 0), nil
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	w := &whole{t: t, kinds: kinds.All()}
	w.st = storetest.New("rangeallocations")
	all := served(t, w.st, w.kinds)
	network, err := allocate.New(allocate.Options{Store: w.st, Services: netip.MustParsePrefix("10.96.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	hard := corev1.ResourceList{}
	for _, n := range []corev1.ResourceName{"pods", "services", "secrets", "configmaps", "requests.storage", "count/jobs.batch", "count/deployments.apps"} {
		hard[n] = resource.MustParse("100")
	}
	w.st.Put("resourcequotas", &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}})
	w.s, err = New(Options{Store: w.st, Served: all, Authenticator: who{}, Authorizer: who{}, Applier: apply.New(all, scheme.New()), Tokens: w, Network: network,
		Authenticate: func(context.Context, string, []string) (*request.User, []string, error) { return nil, nil, nil },
		Admission:    []admission.Plugin{resourcequota.New(w.st)},
		Now:          func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// mark changes with every write and every token issued.
func (w *whole) mark() string {
	c, _ := w.st.Collection("", "pods")
	l, err := c.List(w.t.Context(), store.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(l.Revision, w.issued)
}

func (w *whole) send(verb, path, body string) int {
	method, contentType := verb, contentTypes[verb]
	if contentType != "" {
		method = "PATCH"
	} else {
		contentType = "application/json"
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	rec := httptest.NewRecorder()
	w.s.Handler().ServeHTTP(rec, r)
	return rec.Code
}

// dryAndReal sends a request as a dry run, which may change nothing, and then for real.
func (w *whole) dryAndReal(verb, path, body string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	before := w.mark()
	dry := w.send(verb, path+sep+"dryRun=All", body)
	if after := w.mark(); after != before {
		w.t.Errorf("a dry run of %s %s left a trace: revision and tokens %s, then %s", verb, path, before, after)
	}
	before = w.mark()
	real := w.send(verb, path, body)
	out := fmt.Sprintf("dry %d, real %d", dry, real)
	if w.mark() == before {
		out += " (changes nothing)"
	}
	if dry != real {
		w.t.Errorf("%s %s answers %s", verb, path, out)
	}
	return out
}

// TestDryRun sends requests with bodies of their own twice. There must be one for
// every subresource that takes a POST and every virtual kind.
func TestDryRun(t *testing.T) {
	var sent []string
	datadriven.RunTest(t, "goldens/dryrun.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		w := newWhole(t)
		w.fill()
		for line := range strings.SplitSeq(d.Input, "\n") {
			f := strings.SplitN(line, " ", 3)
			sent = append(sent, f[1])
			fmt.Fprintf(&out, "%s %s: %s\n", f[0], f[1], w.dryAndReal(f[0], f[1], f[2]))
		}
		return out.String()
	})
	for _, k := range kinds.All() {
		need := []string{}
		if k.IsVirtual {
			need = append(need, "/"+k.Plural)
		}
		for _, sub := range k.Subresources {
			if sub.Create != nil || sub.Rules != nil {
				need = append(need, "/"+k.Plural+"/x/"+sub.Name)
			}
		}
		for _, n := range need {
			if !slices.ContainsFunc(sent, func(path string) bool { return strings.HasSuffix(path, n) }) {
				t.Errorf("no request for %s in the table", n)
			}
		}
	}
}

func (w *whole) fill() {
	meta := metav1.ObjectMeta{Namespace: "d", Name: "x", UID: "1"}
	pod := func(name, node string, phase corev1.PodPhase) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}}, Status: corev1.PodStatus{Phase: phase}}
		p.Name = name
		for _, k := range w.kinds {
			if k.Kind == "Pod" {
				k.Default(p)
			}
		}
		return p
	}
	w.st.Put("pods", pod("x", "", corev1.PodPending), pod("y", "", corev1.PodPending), pod("z", "n", corev1.PodRunning))
	w.st.Put("serviceaccounts", &corev1.ServiceAccount{ObjectMeta: meta})
	w.st.Put("namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "1"}, Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}}})
	w.st.Put("nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "1"}})
}

// TestDryRunEverywhere tries what every kind has, on an object that is blank but
// for its name.
func TestDryRunEverywhere(t *testing.T) {
	wrote := 0
	for _, k := range kinds.All() {
		if !k.IsVirtual {
			wrote += everyWrite(t, k)
		}
	}
	if wrote < 150 { // most of these requests change something when they are for real
		t.Errorf("only %d requests would have written", wrote)
	}
}

func everyWrite(t *testing.T, k *kind.Kind) (wrote int) {
	gvs := []schema.GroupVersionResource{k.GVR()}
	for i := range k.Versions {
		gvs = append(gvs, k.Versions[i].GVR())
	}
	for _, gvr := range gvs {
		base := "/apis/" + gvr.Group + "/" + gvr.Version + "/"
		if gvr.Group == "" {
			base = "/api/v1/"
		}
		if k.Namespaced {
			base += "namespaces/d/"
		}
		base += gvr.Resource
		const label = `{"metadata":{"labels":{"a":"b"}}}`
		writes := [][3]string{{"MERGE", base + "/x", label}, {"APPLY", base + "/x?fieldManager=m", ""}, {"DELETE", base + "/x", ""}, {"DELETE", base, ""}}
		if k.HasStatus {
			writes = append(writes, [3]string{"MERGE", base + "/x/status", label})
		}
		if k.HasScale {
			writes = append(writes, [3]string{"MERGE", base + "/x/scale", `{"spec":{"replicas":3}}`})
		}
		for _, r := range writes {
			w := newWhole(t)
			blank := k.New()
			blank.SetName("x")
			blank.SetUID("1")
			if k.Namespaced {
				blank.SetNamespace("d")
			}
			k.Default(blank)
			w.st.Put(strings.TrimSuffix(k.Plural+"."+k.Group, "."), blank)
			if r[0] == "APPLY" {
				r[2] = fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"x","labels":{"a":"b"}}}`, gvr.GroupVersion(), k.Kind)
			}
			if said := w.dryAndReal(r[0], r[1], r[2]); !strings.Contains(said, "changes nothing") {
				wrote++
			}
		}
	}
	return wrote
}

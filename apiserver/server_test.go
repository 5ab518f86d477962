package apiserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/apply"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/apiserver/verbs"
	"hyperkube/store"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// testKinds are small kinds with one of every trait that the verbs know.
func testKinds() []*kind.Kind {
	return []*kind.Kind{
		kind.New(kind.Spec[*corev1.ConfigMap]{
			Names: kind.Names{Version: "v1", Kind: "ConfigMap", Plural: "configmaps", Singular: "configmap", Namespaced: true},
			New:   func() *corev1.ConfigMap { return &corev1.ConfigMap{} }, NewList: func() runtime.Object { return &corev1.ConfigMapList{} },
			Warnings: func(o, _ *corev1.ConfigMap) []string {
				if _, ok := o.Data["old"]; ok {
					return []string{"data[old] is deprecated"}
				}
				return nil
			},
		}),
		kind.New(kind.Spec[*corev1.Namespace]{
			Names: kind.Names{Version: "v1", Kind: "Namespace", Plural: "namespaces", Singular: "namespace"},
			New:   func() *corev1.Namespace { return &corev1.Namespace{} }, NewList: func() runtime.Object { return &corev1.NamespaceList{} },
		}),
		testPod(),
		kind.New(kind.Spec[*appsv1.Deployment]{
			Names: kind.Names{Group: "apps", Version: "v1", Kind: "Deployment", Plural: "deployments", Singular: "deployment", Namespaced: true},
			New:   func() *appsv1.Deployment { return &appsv1.Deployment{} }, NewList: func() runtime.Object { return &appsv1.DeploymentList{} },
			Generation:    func(o, old *appsv1.Deployment) bool { return !equality.Semantic.DeepEqual(o.Spec, old.Spec) },
			PrepareUpdate: func(_ context.Context, o, old *appsv1.Deployment) { o.Status = old.Status },
			Status:        &kind.SubRules[*appsv1.Deployment]{Prepare: func(_ context.Context, o, old *appsv1.Deployment) { o.Spec = old.Spec }},
			Scale: &kind.ScaleRules[*appsv1.Deployment]{
				Get: func(d *appsv1.Deployment) (int32, int32, string) {
					n := int32(1)
					if d.Spec.Replicas != nil {
						n = *d.Spec.Replicas
					}
					return n, d.Status.Replicas, "app=x"
				},
				Set: func(d *appsv1.Deployment, n int32) { d.Spec.Replicas = &n },
			},
		}),
		kind.New(kind.Spec[*coordinationv1.Lease]{
			Names: kind.Names{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Plural: "leases", Singular: "lease", Namespaced: true},
			New:   func() *coordinationv1.Lease { return &coordinationv1.Lease{} }, NewList: func() runtime.Object { return &coordinationv1.LeaseList{} },
			AllowCreateOnUpdate: true,
		}),
		kind.New(kind.Spec[*authorizationv1.SelfSubjectAccessReview]{
			Names: kind.Names{Group: "authorization.k8s.io", Version: "v1", Kind: "SelfSubjectAccessReview", Plural: "selfsubjectaccessreviews"},
			New:   func() *authorizationv1.SelfSubjectAccessReview { return &authorizationv1.SelfSubjectAccessReview{} },
			Virtual: func(_ context.Context, _ kind.Env, o *authorizationv1.SelfSubjectAccessReview, _ kind.CreateOptions) (*authorizationv1.SelfSubjectAccessReview, error) {
				o.Status.Allowed = true
				return o, nil
			},
		}),
	}
}

func testPod() *kind.Kind {
	return kind.New(kind.Spec[*corev1.Pod]{
		Names: kind.Names{Version: "v1", Kind: "Pod", Plural: "pods", Singular: "pod", ShortNames: []string{"po"}, Namespaced: true},
		New:   func() *corev1.Pod { return &corev1.Pod{} }, NewList: func() runtime.Object { return &corev1.PodList{} },
		Default: func(p *corev1.Pod) {
			if p.Spec.RestartPolicy == "" {
				p.Spec.RestartPolicy = corev1.RestartPolicyAlways
			}
		},
		PrepareCreate: func(_ context.Context, p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} },
		PrepareUpdate: func(_ context.Context, p, old *corev1.Pod) { p.Status = old.Status },
		Validate: func(p *corev1.Pod) field.ErrorList {
			if len(p.Spec.Containers) == 0 {
				return field.ErrorList{field.Required(field.NewPath("spec", "containers"), "")}
			}
			return nil
		},
		Status:        &kind.SubRules[*corev1.Pod]{Prepare: func(_ context.Context, p, old *corev1.Pod) { p.Spec = old.Spec }},
		ReturnDeleted: true,
		GracefulDelete: func(_ context.Context, p *corev1.Pod, o *metav1.DeleteOptions) bool {
			if o.GracePeriodSeconds == nil {
				thirty := int64(30)
				o.GracePeriodSeconds = &thirty
			}
			if p.Spec.NodeName == "" {
				*o.GracePeriodSeconds = 0
			}
			return true
		},
		Fields: []kind.Field[*corev1.Pod]{
			{Path: "spec.nodeName", Value: func(p *corev1.Pod) string { return p.Spec.NodeName }, Indexed: true},
			{Path: "status.phase", Value: func(p *corev1.Pod) string { return string(p.Status.Phase) }},
		},
		Columns: []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name"}, {Name: "Status", Type: "string"}},
		Row:     func(p *corev1.Pod, _ time.Time) []any { return []any{p.Name, string(p.Status.Phase)} },
	})
}

// who authenticates by the X-User header and allows all but "nobody".
type who struct{}

func (who) Authenticate(r *http.Request) (*request.User, bool, error) {
	switch name := r.Header.Get("X-User"); name {
	case "":
		return &request.User{Name: "admin", Groups: []string{request.GroupMasters, request.GroupAuthenticated}}, true, nil
	case "bad":
		return nil, false, io.ErrUnexpectedEOF
	default:
		return &request.User{Name: name, Groups: []string{request.GroupAuthenticated}}, true, nil
	}
}

func (who) Authorize(_ context.Context, u *request.User, _ *request.Info) (request.Decision, string, error) {
	if u.Name == "nobody" {
		return request.NoOpinion, "", nil
	}
	return request.Allow, "", nil
}

func newTestServer(t testing.TB) (*Server, *storetest.Store) {
	t.Helper()
	return newTestServerFor(t, who{}, false)
}

func newTestServerFor(t testing.TB, may request.Authorizer, applies bool) (*Server, *storetest.Store) {
	t.Helper()
	kinds := testKinds()
	st := storetest.New()
	all := served(t, st, kinds)
	st.Index("pods", kinds[2].Resource.Indexes[0])
	var applier verbs.Applier
	if applies {
		applier = apply.New(all, scheme.New())
	}
	s, err := New(Options{Store: st, Served: all, Authenticator: who{}, Authorizer: may, Applier: applier,
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return s, st
}

// served is a registry of kinds, kept in st.
func served(t testing.TB, st registry.Store, kinds []*kind.Kind) *registry.Registry {
	t.Helper()
	r, err := registry.Of(registry.Options{Store: st, Scheme: scheme.New()}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestScenarios runs requests from files. "do" takes a request as on the wire
// (line, headers, empty line, body) and shows status, telling headers and body;
// "watch" does the same and stops after the answer's events have come.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) { // a watch ends when there is no more to tell
			s, _ := newTestServer(t)
			tidy := newTidy()
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				r := parseRequest(t, d.Input)
				if d.Cmd == "watch" {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer cancel()
					r = r.WithContext(ctx)
				}
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				return tidy.answer(w)
			})
		})
	})
}

func parseRequest(t *testing.T, input string) *http.Request {
	head, body, _ := strings.Cut(input, "\n\n")
	first, headers, _ := strings.Cut(head, "\n")
	raw := first + " HTTP/1.1\r\nHost: x\r\n"
	for h := range strings.SplitSeq(headers, "\n") {
		if h != "" {
			raw += h + "\r\n"
		}
	}
	raw += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tidy replaces what differs from run to run.
type tidy struct {
	uids map[string]string
}

func newTidy() *tidy { return &tidy{uids: map[string]string{}} }

var uid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func (y *tidy) answer(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", w.Code, w.Header().Get("Content-Type"))
	for _, h := range w.Header().Values("Warning") {
		fmt.Fprintf(&b, "Warning: %s\n", h)
	}
	body := w.Body.Bytes()
	if bytes.HasPrefix(body, []byte("k8s\x00")) {
		fmt.Fprintf(&b, "protobuf\n")
	} else {
		b.Write(indentLines(body))
	}
	return uid.ReplaceAllStringFunc(b.String(), func(s string) string {
		if y.uids[s] == "" {
			y.uids[s] = fmt.Sprintf("uid-%d", len(y.uids)+1)
		}
		return y.uids[s]
	})
}

// indentLines shows each JSON line whole, without the empty status of kinds.
func indentLines(body []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(body) {
		var m any
		if json.Unmarshal(line, &m) != nil {
			out.Write(line)
			continue
		}
		c, _ := json.Marshal(m)
		out.Write(c)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

var _ store.Reader = (*storetest.Store)(nil)

func stored(t *testing.T, st *storetest.Store, resource, name string) bool {
	t.Helper()
	c, _ := st.Collection("", resource)
	_, err := c.Get(t.Context(), store.Key{Namespace: "d", Name: name}, store.Freshness{})
	return err == nil
}

package plugins_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/plugins"
	"hyperkube/apiserver/admission/podsecurity"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

// types by kind: resource with group, scope, an empty object.
var types = map[string]struct {
	resource   string
	namespaced bool
	new        func() store.Object
}{
	"Namespace":                 {"namespaces", false, func() store.Object { return &corev1.Namespace{} }},
	"Pod":                       {"pods", true, func() store.Object { return &corev1.Pod{} }},
	"Node":                      {"nodes", false, func() store.Object { return &corev1.Node{} }},
	"ServiceAccount":            {"serviceaccounts", true, func() store.Object { return &corev1.ServiceAccount{} }},
	"Service":                   {"services", true, func() store.Object { return &corev1.Service{} }},
	"ConfigMap":                 {"configmaps", true, func() store.Object { return &corev1.ConfigMap{} }},
	"LimitRange":                {"limitranges", true, func() store.Object { return &corev1.LimitRange{} }},
	"ResourceQuota":             {"resourcequotas", true, func() store.Object { return &corev1.ResourceQuota{} }},
	"PersistentVolumeClaim":     {"persistentvolumeclaims", true, func() store.Object { return &corev1.PersistentVolumeClaim{} }},
	"PersistentVolume":          {"persistentvolumes", false, func() store.Object { return &corev1.PersistentVolume{} }},
	"CSIDriver":                 {"csidrivers.storage.k8s.io", false, func() store.Object { return &storagev1.CSIDriver{} }},
	"CSINode":                   {"csinodes.storage.k8s.io", false, func() store.Object { return &storagev1.CSINode{} }},
	"Lease":                     {"leases.coordination.k8s.io", true, func() store.Object { return &coordinationv1.Lease{} }},
	"ResourceSlice":             {"resourceslices.resource.k8s.io", false, func() store.Object { return &resourcev1.ResourceSlice{} }},
	"ResourceClaim":             {"resourceclaims.resource.k8s.io", true, func() store.Object { return &resourcev1.ResourceClaim{} }},
	"ResourceClaimTemplate":     {"resourceclaimtemplates.resource.k8s.io", true, func() store.Object { return &resourcev1.ResourceClaimTemplate{} }},
	"CertificateSigningRequest": {"certificatesigningrequests.certificates.k8s.io", false, func() store.Object { return &certificatesv1.CertificateSigningRequest{} }},
	"Deployment":                {"deployments.apps", true, func() store.Object { return &appsv1.Deployment{} }},
	"PriorityClass":             {"priorityclasses.scheduling.k8s.io", false, func() store.Object { return &schedulingv1.PriorityClass{} }},
	"StorageClass":              {"storageclasses.storage.k8s.io", false, func() store.Object { return &storagev1.StorageClass{} }},
	"IngressClass":              {"ingressclasses.networking.k8s.io", false, func() store.Object { return &networkingv1.IngressClass{} }},
	"Ingress":                   {"ingresses.networking.k8s.io", true, func() store.Object { return &networkingv1.Ingress{} }},
	"RuntimeClass":              {"runtimeclasses.node.k8s.io", false, func() store.Object { return &nodev1.RuntimeClass{} }},
}

// TestPlugins runs the scenarios of testdata. The whole default list sees every
// object; what is printed is the object as it would be stored, or the refusal.
//
//	store                       YAML documents that are there
//	create|update [user=u] [sub=s]
//	                            a YAML document that comes (update replaces the stored one)
//	post kind=K name=N [ns=a] sub=s [user=u]
//	                            a YAML document for a subresource of that object
//	delete kind=K name=N [ns=a]
//	show kind=K name=N [ns=a]
func TestPlugins(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var names []string
		for _, x := range types {
			names = append(names, x.resource)
		}
		s := storetest.New(names...)
		exempt, err := podsecurity.ParseConfig([]byte(podSecurityConfig))
		if err != nil {
			t.Fatal(err)
		}
		list := plugins.Default(plugins.Deps{Reader: s, Enabled: plugins.OffByDefault(), PodSecurity: &exempt, Authorizer: audiences{}, Audiences: []string{"https://api"}, Log: slog.New(slog.DiscardHandler)})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "store":
				for doc := range strings.SplitSeq(d.Input, "---\n") {
					k, o := parse(t, doc)
					s.Put(types[k].resource, o)
				}
				return ""
			case "create", "update":
				return send(t, s, list, d)
			case "post":
				return post(t, s, list, d)
			case "delete", "show":
				return existing(t, s, list, d)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func parse(t *testing.T, doc string) (string, store.Object) {
	t.Helper()
	var m metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	o := types[m.Kind].new()
	if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return m.Kind, o
}

func attributes(d *datadriven.TestData, kindName, ns, name string) *admission.Attributes {
	x := types[kindName]
	res, group, _ := strings.Cut(x.resource, ".")
	u := &request.User{Name: "jane", Groups: []string{request.GroupAuthenticated}}
	if d.HasArg("user") {
		u = &request.User{}
		for _, a := range d.CmdArgs {
			if a.Key == "user" {
				u.Name = a.Vals[0]
			}
		}
		if strings.HasPrefix(u.Name, request.NodeUserPrefix) {
			u.Groups = []string{request.GroupNodes}
		}
	}
	var sub string
	for _, a := range d.CmdArgs {
		if a.Key == "sub" {
			sub = a.Vals[0]
		}
	}
	return &admission.Attributes{
		Kind: &kind.Kind{Names: kind.Names{Group: group, Plural: res, Namespaced: x.namespaced}}, User: u, Subresource: sub,
		Info: &request.Info{IsResource: true, Verb: d.Cmd, Group: group, Resource: res, Subresource: sub, Namespace: ns, Name: name},
	}
}

const podSecurityConfig = `
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {audit: baseline, audit-version: latest}
exemptions: {usernames: [free-user], runtimeClasses: [free-class], namespaces: [free-ns]}
`

// audiences grants node n1 tokens of account sa for one audience.
type audiences struct{}

func (audiences) Authorize(_ context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	if u.Name == "system:node:n1" && i.Verb == "request-serviceaccounts-token-audience" && i.Group == "" && i.Resource == "registry" && i.Namespace == "a" && i.Name == "sa" {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

// post sends a document to a subresource of an object that is there.
func post(t *testing.T, s *storetest.Store, list []admission.Plugin, d *datadriven.TestData) string {
	t.Helper()
	var k, name, ns string
	d.ScanArgs(t, "kind", &k)
	d.ScanArgs(t, "name", &name)
	d.MaybeScanArgs(t, "ns", &ns)
	a := attributes(d, k, ns, name)
	a.Operation, a.Old = admission.Create, stored(t, s, k, ns, name)
	a.Body = map[string]runtime.Object{"eviction": &policyv1.Eviction{}, "token": &authenticationv1.TokenRequest{}, "binding": &corev1.Binding{}}[a.Subresource]
	if err := yaml.UnmarshalStrict([]byte(d.Input), a.Body); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(admission.Admit(t.Context(), list, a), admission.Validate(t.Context(), list, a)); err != nil {
		return refusal(t, err)
	}
	return "ok\n"
}

func send(t *testing.T, s *storetest.Store, list []admission.Plugin, d *datadriven.TestData) string {
	t.Helper()
	k, o := parse(t, d.Input)
	a := attributes(d, k, o.GetNamespace(), o.GetName())
	a.Object, a.Operation = o, admission.Create
	if d.Cmd == "update" {
		a.Operation, a.Old = admission.Update, stored(t, s, k, o.GetNamespace(), o.GetName())
	}
	before, _ := yaml.Marshal(o)
	var told strings.Builder
	ctx := request.WithWarnings(t.Context(), func(text string) { fmt.Fprintf(&told, "warning: %s\n", text) })
	ctx = request.WithAudit(ctx, func(key, value string) {
		if key != "pod-security.kubernetes.io/enforce-policy" {
			fmt.Fprintf(&told, "audit: %s=%s\n", key, value)
		}
	})
	err := admission.Admit(ctx, list, a)
	if err == nil {
		err = admission.Validate(ctx, list, a)
	}
	if err == nil {
		_, err = admission.Charge(t.Context(), list, a)
	}
	if err != nil {
		return refusal(t, err)
	}
	if a.Subresource == "" || a.Subresource == "status" {
		s.Put(types[k].resource, o)
	}
	after, _ := yaml.Marshal(o)
	return told.String() + changes(t, before, after)
}

func refusal(t *testing.T, err error) string {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("not a status: %v", err)
	}
	out := fmt.Sprintf("%d %s: %s\n", status.Status().Code, status.Status().Reason, err)
	if x := status.Status().Details; x != nil {
		for _, c := range x.Causes {
			out += fmt.Sprintf("  cause %s at %s: %s\n", c.Type, c.Field, c.Message)
		}
	}
	return out
}

func stored(t *testing.T, s *storetest.Store, k, ns, name string) store.Object {
	t.Helper()
	res, group, _ := strings.Cut(types[k].resource, ".")
	c, _ := s.Collection(group, res)
	e, err := c.Get(t.Context(), store.Key{Namespace: ns, Name: name}, store.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Object
}

func existing(t *testing.T, s *storetest.Store, list []admission.Plugin, d *datadriven.TestData) string {
	t.Helper()
	var k, name, ns string
	d.ScanArgs(t, "kind", &k)
	d.ScanArgs(t, "name", &name)
	d.MaybeScanArgs(t, "ns", &ns)
	o := stored(t, s, k, ns, name)
	if d.Cmd == "show" {
		y, _ := yaml.Marshal(o)
		return changes(t, []byte("{}"), y)
	}
	a := attributes(d, k, ns, name)
	a.Old, a.Operation = o, admission.Delete
	if err := admission.Validate(t.Context(), list, a); err != nil {
		return refusal(t, err)
	}
	if err := admission.Admit(t.Context(), list, a); err != nil {
		return refusal(t, err)
	}
	return "ok\n"
}

// changes lists the leaves that differ, one a line.
func changes(t *testing.T, before, after []byte) string {
	t.Helper()
	was, is := leaves(t, before), leaves(t, after)
	var out strings.Builder
	for _, path := range slices.Sorted(maps.Keys(is)) {
		if v, ok := was[path]; (!ok || v != is[path]) && !strings.Contains(path, "resourceVersion") {
			fmt.Fprintf(&out, "%s: %s\n", path, is[path])
		}
	}
	if out.Len() == 0 {
		return "unchanged\n"
	}
	return out.String()
}

func leaves(t *testing.T, y []byte) map[string]string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(y, &v); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	collect(out, "", v)
	return out
}

func collect(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			collect(out, strings.TrimPrefix(path+"."+k, "."), x)
		}
	case []any:
		for i, x := range v {
			collect(out, fmt.Sprintf("%s[%d]", path, i), x)
		}
	default:
		b, _ := json.Marshal(v)
		s := strings.Trim(string(b), `"`)
		if i := strings.Index(s, "kube-api-access-"); i >= 0 { // a random suffix
			s = s[:i] + "kube-api-access-*****"
		}
		out[path] = s
	}
}

package plugins_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/plugins"
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
	"Namespace":             {"namespaces", false, func() store.Object { return &corev1.Namespace{} }},
	"Pod":                   {"pods", true, func() store.Object { return &corev1.Pod{} }},
	"Node":                  {"nodes", false, func() store.Object { return &corev1.Node{} }},
	"ServiceAccount":        {"serviceaccounts", true, func() store.Object { return &corev1.ServiceAccount{} }},
	"Service":               {"services", true, func() store.Object { return &corev1.Service{} }},
	"ConfigMap":             {"configmaps", true, func() store.Object { return &corev1.ConfigMap{} }},
	"LimitRange":            {"limitranges", true, func() store.Object { return &corev1.LimitRange{} }},
	"ResourceQuota":         {"resourcequotas", true, func() store.Object { return &corev1.ResourceQuota{} }},
	"PersistentVolumeClaim": {"persistentvolumeclaims", true, func() store.Object { return &corev1.PersistentVolumeClaim{} }},
	"PriorityClass":         {"priorityclasses.scheduling.k8s.io", false, func() store.Object { return &schedulingv1.PriorityClass{} }},
	"StorageClass":          {"storageclasses.storage.k8s.io", false, func() store.Object { return &storagev1.StorageClass{} }},
	"IngressClass":          {"ingressclasses.networking.k8s.io", false, func() store.Object { return &networkingv1.IngressClass{} }},
	"Ingress":               {"ingresses.networking.k8s.io", true, func() store.Object { return &networkingv1.Ingress{} }},
	"RuntimeClass":          {"runtimeclasses.node.k8s.io", false, func() store.Object { return &nodev1.RuntimeClass{} }},
}

// TestPlugins runs the scenarios of testdata. The whole default list sees every
// object; what is printed is the object as it would be stored, or the refusal.
//
//	store                       YAML documents that are there
//	create|update [user=u]      a YAML document that comes (update replaces the stored one)
//	delete kind=K name=N [ns=a]
//	show kind=K name=N [ns=a]
func TestPlugins(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var names []string
		for _, x := range types {
			names = append(names, x.resource)
		}
		s := storetest.New(names...)
		list := plugins.Default(plugins.Deps{Reader: s, Log: slog.New(slog.DiscardHandler)})
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
	return &admission.Attributes{
		Kind: &kind.Kind{Names: kind.Names{Group: group, Plural: res, Namespaced: x.namespaced}}, User: u,
		Info: &request.Info{IsResource: true, Group: group, Resource: res, Namespace: ns, Name: name},
	}
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
	err := admission.Admit(t.Context(), list, a)
	if err == nil {
		err = admission.Validate(t.Context(), list, a)
	}
	if err == nil {
		_, err = admission.Charge(t.Context(), list, a)
	}
	if err != nil {
		return refusal(t, err)
	}
	s.Put(types[k].resource, o)
	after, _ := yaml.Marshal(o)
	return changes(t, before, after)
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

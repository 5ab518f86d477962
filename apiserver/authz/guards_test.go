package authz_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
)

var apiVerbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// row is a resource or subresource that is served.
type row struct {
	group, resource, sub string
	namespaced           bool
}

func (r row) String() string {
	s := r.resource
	if r.group != "" {
		s = r.group + "/" + s
	}
	if r.sub != "" {
		s += "/" + r.sub
	}
	return s
}

// served lists all kinds with their subresources, those of further versions too.
func served() (out []row) {
	for _, k := range kinds.All() {
		groups := []string{k.Group}
		for _, v := range k.Versions {
			if !slices.Contains(groups, v.Group) {
				groups = append(groups, v.Group)
			}
		}
		subs := []string{""}
		if k.HasStatus {
			subs = append(subs, "status")
		}
		if k.HasScale {
			subs = append(subs, "scale")
		}
		for _, s := range k.Subresources {
			subs = append(subs, s.Name)
		}
		for _, g := range groups {
			for _, s := range subs {
				out = append(out, row{g, k.Plural, s, k.Namespaced})
			}
		}
	}
	return out
}

// situation is a way to point at objects.
type situation struct {
	name  string
	verbs string // for which it makes sense
	set   func(r row, i *request.Info)
}

const (
	one  = "get update patch delete"
	many = "list watch deletecollection"
	each = one + " " + many + " create"
)

// situations in which node n1 asks. "mine" belongs to it or to a pod on it,
// "other" to node n2, "gone" to nobody; "elsewhere" and "everywhere" leave the
// namespace; the rest select, some of them twice.
var situations = []situation{
	{"mine", each, func(r row, i *request.Info) { i.Name = mine(r, "n1", "mine") }},
	{"other", each, func(r row, i *request.Info) { i.Name = mine(r, "n2", "other") }},
	{"gone", one, func(r row, i *request.Info) { i.Name = "gone" }},
	{"elsewhere", each, func(r row, i *request.Info) { i.Namespace, i.Name = "b", mine(r, "n1", "mine") }},
	{"all", many + " create", func(r row, i *request.Info) {}},
	{"everywhere", many + " create", func(r row, i *request.Info) { i.Namespace = "" }},
	{"bynode", many, func(r row, i *request.Info) { i.FieldSelector = "spec.nodeName=n1" }},
	{"bynode2", many, func(r row, i *request.Info) { i.FieldSelector = "spec.nodeName=n2" }},
	{"notbynode", many, func(r row, i *request.Info) { i.FieldSelector = "spec.nodeName!=n2" }},
	{"byname", many, func(r row, i *request.Info) { i.FieldSelector = "metadata.name=" + mine(r, "n1", "mine") }},
	{"byname2", many, func(r row, i *request.Info) { i.FieldSelector = "metadata.name=" + mine(r, "n2", "other") }},
	{"mine-byname2", many, func(r row, i *request.Info) {
		i.Name, i.FieldSelector = mine(r, "n1", "mine"), "metadata.name="+mine(r, "n2", "other")
	}},
	{"everywhere-byname", many, func(r row, i *request.Info) {
		i.Namespace, i.FieldSelector = "", "metadata.name="+mine(r, "n1", "mine")
	}},
	{"everywhere-bynode", many, func(r row, i *request.Info) { i.Namespace, i.FieldSelector = "", "spec.nodeName=n1" }},
}

func mine(r row, node, other string) string {
	if slices.Contains([]string{"nodes", "leases", "csinodes"}, r.resource) {
		return node
	}
	return other
}

func nodeWorld() *storetest.Store {
	s := storetest.New("pods", "persistentvolumes", "persistentvolumeclaims", "volumeattachments.storage.k8s.io", "resourceslices.resource.k8s.io")
	for node, name := range map[string]string{"n1": "mine", "n2": "other"} {
		at := metav1.ObjectMeta{Namespace: "a", Name: name}
		volume := func(n string, v corev1.VolumeSource) corev1.Volume { return corev1.Volume{Name: n, VolumeSource: v} }
		s.Put("pods", &corev1.Pod{ObjectMeta: at, Spec: corev1.PodSpec{
			NodeName: node, ServiceAccountName: name, ResourceClaims: []corev1.PodResourceClaim{{Name: "c", ResourceClaimName: &name}},
			Volumes: []corev1.Volume{
				volume("s", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}),
				volume("m", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}),
				volume("c", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}),
			},
		}})
		s.Put("persistentvolumeclaims", &corev1.PersistentVolumeClaim{ObjectMeta: at, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: name}})
		only := metav1.ObjectMeta{Name: name}
		s.Put("persistentvolumes", &corev1.PersistentVolume{ObjectMeta: only, Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "a", Name: name}}})
		s.Put("volumeattachments.storage.k8s.io", &storagev1.VolumeAttachment{ObjectMeta: only, Spec: storagev1.VolumeAttachmentSpec{NodeName: node}})
		s.Put("resourceslices.resource.k8s.io", &resourcev1.ResourceSlice{ObjectMeta: only, Spec: resourcev1.ResourceSliceSpec{NodeName: &node}})
	}
	return s
}

// TestGuards prints what the authorizers allow: every kind and subresource, every
// verb, every way to point at objects (node) or every built-in identity (rbac).
// A line lists what is allowed; what is on no line is refused.
func TestGuards(t *testing.T) {
	datadriven.Walk(t, "testdata/guards", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "node":
				return nodeTable(t, authz.NewNode(nodeWorld()))
			case "rules":
				return ruleTable(t)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func nodeTable(t *testing.T, a request.Authorizer) string {
	u := &request.User{Name: "system:node:n1", Groups: []string{request.GroupNodes, request.GroupAuthenticated}}
	return render(served(), func(r row, verb string) string {
		var in []string
		asked := 0
		for _, s := range situations {
			if !slices.Contains(strings.Fields(s.verbs), verb) || !r.namespaced && strings.Contains(s.name, "where") {
				continue
			}
			asked++
			i := &request.Info{IsResource: true, Verb: verb, Group: r.group, Resource: r.resource, Subresource: r.sub}
			if r.namespaced {
				i.Namespace = "a"
				if r.resource == "leases" {
					i.Namespace = corev1.NamespaceNodeLease
				}
			}
			s.set(r, i)
			d, _, err := a.Authorize(context.Background(), u, i)
			if err != nil {
				t.Errorf("%s %s %s: %v", verb, r, s.name, err)
			}
			if d == request.Allow {
				in = append(in, s.name)
			}
		}
		if len(in) == asked {
			return "any"
		}
		return strings.Join(in, ",")
	})
}

// render makes a line for each row with an answer, and one of those without.
func render(rows []row, answer func(row, string) string) string {
	var out strings.Builder
	var none []string
	for _, r := range rows {
		var cells []string
		for _, v := range apiVerbs {
			if c := answer(r, v); c != "" {
				cells = append(cells, v+"("+c+")")
			}
		}
		if len(cells) == 0 {
			none = append(none, r.String())
			continue
		}
		fmt.Fprintf(&out, "%-45s %s\n", r, strings.Join(cells, " "))
	}
	out.WriteString("nothing:")
	width := 0
	for _, n := range none {
		if width == 0 || width+len(n) > 120 {
			out.WriteString("\n  ")
			width = 0
		}
		out.WriteString(n + " ")
		width += len(n) + 1
	}
	return strings.ReplaceAll(out.String()+"\n", " \n", "\n")
}

// identities are all that the built-in bindings know, and a person in each of the
// roles that people get.
func identities() (out []*request.User) {
	p := bootstrap.Default()
	seen := map[rbacv1.Subject]bool{}
	add := func(subjects []rbacv1.Subject) {
		for _, s := range subjects {
			if seen[s] || s.Name == request.GroupMasters {
				continue
			}
			seen[s] = true
			switch s.Kind {
			case rbacv1.UserKind:
				out = append(out, &request.User{Name: s.Name})
			case rbacv1.GroupKind:
				out = append(out, &request.User{Name: "member", Groups: []string{s.Name}})
			case rbacv1.ServiceAccountKind:
				out = append(out, &request.User{Name: request.ServiceAccountPrefix + s.Namespace + ":" + s.Name})
			}
		}
	}
	for _, b := range p.ClusterRoleBindings {
		add(b.Subjects)
	}
	for _, b := range p.RoleBindings {
		add(b.Subjects)
	}
	for _, r := range p.ClusterRoles {
		if !slices.ContainsFunc(p.ClusterRoleBindings, func(b *rbacv1.ClusterRoleBinding) bool {
			return b.RoleRef.Name == r.Name && len(b.Subjects) > 0
		}) {
			out = append(out, &request.User{Name: "role " + r.Name})
		}
	}
	slices.SortFunc(out, func(a, b *request.User) int { return strings.Compare(title(a), title(b)) })
	return out
}

func title(u *request.User) string {
	if len(u.Groups) > 0 {
		return "group " + u.Groups[0]
	}
	return u.Name
}

// special are the rights that are no verbs of a kind.
var special = map[string][]row{
	"impersonate": {{resource: "users"}, {resource: "groups"}, {resource: "serviceaccounts"}, {group: "authentication.k8s.io", resource: "uids"}, {group: "authentication.k8s.io", resource: "userextras"}},
	"escalate":    {{group: rbacv1.GroupName, resource: "roles"}, {group: rbacv1.GroupName, resource: "clusterroles"}},
	"bind":        {{group: rbacv1.GroupName, resource: "roles"}, {group: rbacv1.GroupName, resource: "clusterroles"}},
	"approve":     {{group: "certificates.k8s.io", resource: "signers"}},
	"sign":        {{group: "certificates.k8s.io", resource: "signers"}},
	"proxy":       {{resource: "nodes"}},
}

var paths = []string{"/", "/api", "/api/v1", "/apis/x/v1", "/healthz", "/healthz/ping", "/livez", "/readyz", "/metrics", "/metrics/slis", "/version", "/openapi/v3",
	"/logs/x", "/debug/pprof", "/configz", "/statusz", "/flagz", "/.well-known/openid-configuration", "/openid/v1/jwks"}

var signers = []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving", "kubernetes.io/legacy-unknown", "example.com/s"}

// ruleTable asks RBAC for every built-in identity. Resources with the same verbs
// share a line; a number after a name says that the right holds only there: in
// kube-system (1), kube-public (2), or for objects of its own name (3).
func ruleTable(t *testing.T) string {
	s := rbacStore()
	if err := bootstrap.Ensure(t.Context(), s, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	users := identities()
	for _, u := range users {
		if role, ok := strings.CutPrefix(u.Name, "role "); ok {
			s.Put("clusterrolebindings"+rbacSuffix, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: u.Name},
				RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{{Kind: "User", Name: u.Name}}})
		}
	}
	a := authz.NewRBAC(s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for !a.Ready() {
		runtime.Gosched()
	}
	rows := append(served(), row{group: "example.com", resource: "widgets", namespaced: true}, row{group: "example.com", resource: "widgets", sub: "scale", namespaced: true})
	for _, u := range users {
		fmt.Fprintf(&out, "%s\n", title(u))
		for _, line := range rightsOf(a, u, rows) {
			out.WriteString("  " + line + "\n")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func rightsOf(a *authz.RBAC, u *request.User, rows []row) (lines []string) {
	may := func(i *request.Info) bool {
		d, _, err := a.Authorize(context.Background(), u, i)
		return err == nil && d == request.Allow
	}
	where := func(r row, verb string, names ...string) string {
		i := &request.Info{IsResource: true, Verb: verb, Group: r.group, Resource: r.resource, Subresource: r.sub}
		if may(i) {
			return r.String()
		}
		for n, ns := range []string{"kube-system", "kube-public"} {
			i.Namespace = ns
			if r.namespaced && may(i) {
				return fmt.Sprint(r, "¹²"[2*n:2*n+2])
			}
			for _, i.Name = range names {
				if r.namespaced && may(i) {
					return fmt.Sprint(r, "¹²"[2*n:2*n+2], "=", i.Name)
				}
			}
			i.Name = ""
		}
		i.Namespace = ""
		var some []string
		for _, i.Name = range names {
			if may(i) {
				some = append(some, i.Name)
			}
		}
		if len(some) > 0 {
			return r.String() + "=" + strings.Join(some, ",")
		}
		return ""
	}
	own := []string{u.Name[strings.LastIndex(u.Name, ":")+1:], "kube-controller-manager", "kube-scheduler", "extension-apiserver-authentication", "cluster-info"}
	bySet := map[string][]string{}
	for _, r := range rows {
		byPlace := map[string][]string{}
		for _, v := range apiVerbs {
			if w := where(r, v, own...); w != "" {
				byPlace[w] = append(byPlace[w], v)
			}
		}
		for w, verbs := range byPlace {
			set := strings.Join(verbs, " ")
			bySet[set] = append(bySet[set], w)
		}
	}
	for verb, list := range special {
		for _, r := range list {
			if w := where(r, verb, signers...); w != "" {
				bySet[verb] = append(bySet[verb], w)
			}
		}
	}
	for _, set := range slices.Sorted(maps.Keys(bySet)) {
		all := bySet[set]
		slices.Sort(all)
		if len(all) > len(rows)*3/4 {
			all = allBut(rows, all)
		}
		lines = append(lines, set+": "+strings.Join(all, " "))
	}
	var open []string
	for _, p := range paths {
		if may(&request.Info{Verb: "get", Path: p}) {
			open = append(open, p)
		}
	}
	if len(open) == len(paths) {
		open = []string{"everything"}
	}
	if len(open) > 0 {
		lines = append(lines, "get: "+strings.Join(open, " "))
	}
	return lines
}

func allBut(rows []row, have []string) []string {
	var lacks []string
	for _, r := range rows {
		if !slices.Contains(have, r.String()) {
			lacks = append(lacks, r.String())
		}
	}
	if len(lacks) == 0 {
		return []string{"everything"}
	}
	return append([]string{"everything but"}, lacks...)
}

// TestNodeRoleCovers: what the Node authorizer lets some kubelet do, the role that
// clusters without it bind to kubelets allows as well.
func TestNodeRoleCovers(t *testing.T) {
	node := authz.NewNode(nodeWorld())
	u := &request.User{Name: "system:node:n1", Groups: []string{request.GroupNodes}}
	s := rbacStore()
	if err := bootstrap.Ensure(t.Context(), s, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	s.Put("clusterrolebindings"+rbacSuffix, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "nodes"},
		RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "system:node"}, Subjects: []rbacv1.Subject{{Kind: "Group", Name: request.GroupNodes}}})
	role := authz.NewRBAC(s, slog.New(slog.DiscardHandler))
	for _, r := range served() {
		for _, verb := range apiVerbs {
			i := &request.Info{IsResource: true, Verb: verb, Group: r.group, Resource: r.resource, Subresource: r.sub}
			may := func(a request.Authorizer) bool {
				d, _, err := a.Authorize(t.Context(), u, i)
				if err != nil {
					t.Fatal(err)
				}
				return d == request.Allow
			}
			for _, i.Name = range []string{"", mine(r, "n1", "mine")} {
				for _, i.Namespace = range []string{"", "a", corev1.NamespaceNodeLease} {
					for _, i.FieldSelector = range []string{"", "spec.nodeName=n1"} {
						if may(node) && !may(role) {
							t.Errorf("%s %s is allowed, but not by system:node", verb, r)
						}
					}
				}
			}
		}
	}
}

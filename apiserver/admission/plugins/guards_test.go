package plugins_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/noderestriction"
	"hyperkube/apiserver/admission/plugins"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

// TestGuards prints what the guards among the plugins say, for all kinds and
// subresources: which operations each looks at, what a kubelet may write, and who
// may approve and sign what.
func TestGuards(t *testing.T) {
	datadriven.RunTest(t, "guards/answers", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "handles":
			return handles()
		case "kubelets":
			return kubelets(t)
		case "certificates":
			return certificates(t)
		}
		t.Fatalf("unknown command %s", d.Cmd)
		return ""
	})
}

var operations = []admission.Operation{admission.Create, admission.Update, admission.Delete, admission.Connect}

// subresourcesOf a kind, itself first; of each the operations that are served.
func subresourcesOf(k *kind.Kind) (names []string) {
	names = append(names, "")
	if k.HasStatus {
		names = append(names, "status")
	}
	if k.HasScale {
		names = append(names, "scale")
	}
	for _, s := range k.Subresources {
		names = append(names, s.Name)
	}
	return names
}

func rowName(k *kind.Kind, sub string) string {
	s := k.Plural
	if k.Group != "" {
		s = k.Group + "/" + s
	}
	if sub != "" {
		s += "/" + sub
	}
	return s
}

func attributesOf(k *kind.Kind, sub string, op admission.Operation, u *request.User, obj store.Object) *admission.Attributes {
	a := &admission.Attributes{Kind: k, User: u, Operation: op, Subresource: sub,
		Info: &request.Info{IsResource: true, Verb: strings.ToLower(string(op)), Group: k.Group, Version: k.Version, Resource: k.Plural, Subresource: sub,
			Namespace: obj.GetNamespace(), Name: obj.GetName()}}
	if op != admission.Delete && op != admission.Connect {
		a.Object = obj
	}
	if op != admission.Create {
		a.Old = obj
	}
	return a
}

func handles() string {
	jane := &request.User{Name: "jane"}
	n1 := &request.User{Name: "system:node:n1", Groups: []string{request.GroupNodes}}
	var out strings.Builder
	for _, p := range plugins.Default(plugins.Deps{Enabled: plugins.OffByDefault(), Log: slog.New(slog.DiscardHandler)}) {
		fmt.Fprintf(&out, "%s\n", p.Name())
		for _, op := range operations {
			var all []string
			rows := 0
			for _, k := range kinds.All() {
				for _, sub := range subresourcesOf(k) {
					rows++
					user, o := jane, k.New()
					if p.Name() == "NodeRestriction" {
						user = n1
					}
					if p.Handles(attributesOf(k, sub, op, user, o)) {
						all = append(all, rowName(k, sub))
					}
				}
			}
			switch {
			case len(all) == rows:
				fmt.Fprintf(&out, "  %s everything\n", op)
			case len(all) > 40:
				fmt.Fprintf(&out, "  %s %d of %d kinds and subresources\n", op, len(all), rows)
			case len(all) > 0:
				fmt.Fprintf(&out, "  %s %s\n", op, strings.Join(all, " "))
			}
		}
	}
	return out.String()
}

// kubelets asks NodeRestriction about every write of a kubelet. "mine" is an object
// that bears the name of node n1 or belongs to it, "other" the same of node n2.
// Resources of which nothing is refused are for the authorizers.
func kubelets(t *testing.T) string {
	s := storetest.New("nodes", "pods")
	s.Put("nodes", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "1"}}, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2", UID: "2"}})
	for _, node := range []string{"n1", "n2"} {
		pod := belonging(&corev1.Pod{}, node).(*corev1.Pod)
		pod.Spec.Volumes = []corev1.Volume{{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}}}}}}
		s.Put("pods", pod)
	}
	p := noderestriction.New(s, nil, nil)
	n1 := &request.User{Name: "system:node:n1", Groups: []string{request.GroupNodes}}
	nameless := &request.User{Name: "system:node:", Groups: []string{request.GroupNodes}}
	var out strings.Builder
	var free []string
	for _, k := range kinds.All() {
		for _, sub := range subresourcesOf(k) {
			var cells []string
			refused := false
			for _, op := range operations[:3] {
				var may []string
				for _, c := range []struct {
					name string
					user *request.User
					node string
				}{{"mine", n1, "n1"}, {"other", n1, "n2"}, {"nameless", nameless, "n1"}} {
					a := attributesOf(k, sub, op, c.user, belonging(k.New(), c.node))
					if op == admission.Create && sub != "" {
						withBody(a, c.node)
					}
					if err := p.Validate(t.Context(), a); err == nil {
						may = append(may, c.name)
					} else if refused = true; !apierrors.IsForbidden(err) {
						t.Errorf("%s %s: %v", op, rowName(k, sub), err)
					}
				}
				if len(may) > 0 {
					cells = append(cells, fmt.Sprintf("%s(%s)", op, strings.Join(may, ",")))
				}
			}
			if !refused {
				free = append(free, rowName(k, sub))
				continue
			}
			fmt.Fprintf(&out, "%-40s %s\n", rowName(k, sub), strings.Join(cells, " "))
		}
	}
	for _, who := range []*request.User{{Name: "jane"}, {Name: "system:node:n1"}, {Name: "joe", Groups: []string{request.GroupNodes}}} {
		for _, k := range kinds.All() {
			if p.Handles(attributesOf(k, "", admission.Create, who, k.New())) {
				t.Errorf("%v is held to a kubelet's limits", who)
			}
		}
	}
	return strings.ReplaceAll(out.String(), " \n", "\n") + fmt.Sprintf("not its business: %d others, among them %s\n", len(free), strings.Join(free[:8], " "))
}

func withBody(a *admission.Attributes, node string) {
	a.Old, a.Object = a.Object, nil
	switch a.Subresource {
	case "eviction":
		a.Body = &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: a.Info.Name}}
	case "token":
		p := belonging(&corev1.Pod{}, node)
		a.Body = &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: p.GetName(), UID: p.GetUID()}}}
	case "binding":
		a.Body = &corev1.Binding{}
	}
}

// belonging makes the object one of the node.
func belonging(o store.Object, node string) store.Object {
	o.SetName(node)
	o.SetNamespace("a")
	switch o := o.(type) {
	case *corev1.Pod:
		o.UID = apitypes.UID("pod of " + node)
		o.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		yes := true
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node, UID: apitypes.UID(node[1:]), Controller: &yes}}
		o.Spec.NodeName = node
	case *resourcev1.ResourceSlice:
		o.Spec.NodeName = &node
	default:
		if strings.HasSuffix(fmt.Sprintf("%T", o), ".Lease") {
			o.SetNamespace(corev1.NamespaceNodeLease)
		}
	}
	return o
}

// rights is an authorizer of signers: verb and signer as RBAC names them.
type rights []string

func (r rights) Authorize(_ context.Context, _ *request.User, i *request.Info) (request.Decision, string, error) {
	if i.Group == certificatesv1.GroupName && i.Resource == "signers" && slices.Contains(r, i.Verb+" "+i.Name) {
		return request.Allow, "", nil
	}
	return request.NoOpinion, "", nil
}

// certificates asks about requests of every signer: who may approve, put a
// certificate or a failure in, touch nothing, and which subjects may be asked for.
func certificates(t *testing.T) string {
	k := kinds.All()[slices.IndexFunc(kinds.All(), func(k *kind.Kind) bool { return k.Plural == "certificatesigningrequests" })]
	who := []struct {
		name string
		may  rights
	}{
		{"nobody", nil},
		{"approver of it", rights{"approve kubernetes.io/kube-apiserver-client", "approve example.com/s"}},
		{"approver of the domain", rights{"approve kubernetes.io/*"}},
		{"signer of it", rights{"sign kubernetes.io/kube-apiserver-client", "sign example.com/s"}},
		{"signer of the domain", rights{"sign kubernetes.io/*"}},
		{"signer of *", rights{"sign *", "approve *"}},
	}
	csr := func(signer string, change func(*certificatesv1.CertificateSigningRequest)) store.Object {
		c := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: signer}}
		if change != nil {
			change(c)
		}
		return c
	}
	condition := func(c *certificatesv1.CertificateSigningRequest) {
		c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: "x", Status: "True"}}
	}
	var out strings.Builder
	for _, x := range who {
		list := plugins.Default(plugins.Deps{Authorizer: x.may, Log: slog.New(slog.DiscardHandler)})
		list = slices.DeleteFunc(list, func(p admission.Plugin) bool { return !strings.HasPrefix(p.Name(), "Certificate") })
		fmt.Fprintln(&out, x.name)
		for _, signer := range []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/kubelet-serving", "example.com/s"} {
			var may []string
			for _, step := range []struct {
				name, sub string
				change    func(*certificatesv1.CertificateSigningRequest)
			}{
				{"approve", "approval", condition},
				{"certificate", "status", func(c *certificatesv1.CertificateSigningRequest) { c.Status.Certificate = []byte("x") }},
				{"failure", "status", condition},
				{"label through status", "status", func(c *certificatesv1.CertificateSigningRequest) { c.Labels = map[string]string{"a": "b"} }},
				{"label", "", func(c *certificatesv1.CertificateSigningRequest) { c.Labels = map[string]string{"a": "b"} }},
				// The stored signer counts, not the one that is sent along.
				{"approve as another signer's", "approval", func(c *certificatesv1.CertificateSigningRequest) { condition(c); c.Spec.SignerName = "example.com/s" }},
			} {
				a := attributesOf(k, step.sub, admission.Update, &request.User{Name: "u"}, csr(signer, step.change))
				a.Old = csr(signer, nil)
				if admission.Validate(t.Context(), list, a) == nil {
					may = append(may, step.name)
				}
			}
			fmt.Fprintf(&out, "  %-36s %s\n", signer, strings.Join(may, ", "))
		}
	}
	fmt.Fprintln(&out, "asking")
	list := plugins.Default(plugins.Deps{Log: slog.New(slog.DiscardHandler)})
	list = slices.DeleteFunc(list, func(p admission.Plugin) bool { return p.Name() != "CertificateSubjectRestriction" })
	for _, signer := range []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet", "example.com/s"} {
		var may []string
		for _, groups := range [][]string{nil, {"system:nodes"}, {"a", "system:masters"}, {"system:masters "}} {
			text := asks(t, groups)
			a := attributesOf(k, "", admission.Create, &request.User{Name: "u"}, csr(signer, func(c *certificatesv1.CertificateSigningRequest) { c.Spec.Request = text }))
			if admission.Validate(t.Context(), list, a) == nil {
				may = append(may, fmt.Sprintf("%q", groups))
			}
		}
		fmt.Fprintf(&out, "  %-44s groups %s\n", signer, strings.Join(may, ", "))
	}
	return strings.ReplaceAll(out.String(), " \n", "\n")
}

func asks(t *testing.T, groups []string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "u", Organization: groups}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// TestOffByDefault: what is off is asked only when it is enabled, and not when it is disabled too.
func TestOffByDefault(t *testing.T) {
	for _, name := range plugins.OffByDefault() {
		for want, d := range map[bool]plugins.Deps{false: {}, true: {Enabled: []string{name}}} {
			if has := slices.ContainsFunc(plugins.Default(d), func(p admission.Plugin) bool { return p.Name() == name }); has != want {
				t.Errorf("%s with %v: asked %v", name, d.Enabled, has)
			}
		}
		if !slices.Contains(plugins.Names(), name) {
			t.Errorf("%s cannot be enabled", name)
		}
	}
}

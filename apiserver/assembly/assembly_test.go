package assembly_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"hyperkube/apiserver"
	"hyperkube/apiserver/assembly"
	"hyperkube/internal/pki"
	"hyperkube/store/etcd"
)

// cluster is a whole API server on a real etcd, with the files pki makes.
type cluster struct {
	files *pki.Files
	url   string
}

func start(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("VERBOSE") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{url: "https://" + l.Addr().String()}
	c.files, err = pki.Ensure(pki.Options{Layout: pki.NewLayout(dir), Server: c.url, Now: time.Now(), ServiceIP: net.IPv4(10, 96, 0, 1),
		Nodes: []pki.Node{{Name: "n1"}, {Name: "n2"}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := etcd.Start(t.Context(), etcd.Config{Dir: dir + "/etcd", Ephemeral: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := assembly.New(ctx, c.options(l, e, log))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Stop()
	})
	select {
	case <-a.Ready():
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	return c
}

func (c *cluster) options(l net.Listener, e *etcd.Server, log *slog.Logger) assembly.Options {
	f := c.files
	cert := func(p *pki.Pair) *tls.Certificate {
		return &tls.Certificate{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key, Leaf: p.Cert}
	}
	pool := x509.NewCertPool()
	pool.AddCert(f.CA.Cert)
	return assembly.Options{
		Log: log, Etcd: e, Listener: l,
		TLS:       apiserver.TLS{Certificate: cert(f.APIServer), ClientCAs: []*pki.Pool{pki.FixedPool(f.CA)}},
		Advertise: netip.MustParseAddrPort("192.0.2.1:6443"), ClientCAs: pki.FixedPool(f.CA), Anonymous: true,
		Issuer: "https://kubernetes.default.svc.cluster.local", SigningKey: f.ServiceAccount,
		Services: netip.MustParsePrefix("10.96.0.0/16"), KubeletClient: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert(f.KubeletClient), nil }, KubeletCAs: pool, DetectMutation: true,
	}
}

func (c *cluster) config(t *testing.T, file string) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.files.Layout.Kubeconfig(file))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (c *cluster) client(t *testing.T, cfg *rest.Config) kubernetes.Interface {
	t.Helper()
	k, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (c *cluster) withToken(t *testing.T, token string) kubernetes.Interface {
	return c.client(t, &rest.Config{Host: c.url, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: c.files.CA.PEM}})
}

func pod(name, node string) *corev1.Pod {
	vault := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "vault", Audience: "vault"}}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{NodeName: node, Volumes: []corev1.Volume{{
		Name: "vault", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{vault}}},
	}}, Containers: []corev1.Container{{
		Name: "c", Image: "x", EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "mine"}}}},
	}}}}
}

// TestSecurity walks through who may do what on a real server.
func TestSecurity(t *testing.T) {
	c, ctx := start(t), t.Context()
	admin := c.client(t, c.config(t, pki.ConfAdmin))
	for _, n := range []string{"mine", "other"} {
		got(admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: n}}, metav1.CreateOptions{}))(t)
	}
	got(admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}))(t)
	p := got(admin.CoreV1().Pods("default").Create(ctx, pod("p", "n1"), metav1.CreateOptions{}))(t)

	t.Run("pods get their service account and tolerations", func(t *testing.T) {
		if p.Spec.ServiceAccountName != "default" || len(p.Spec.Tolerations) != 2 || len(p.Spec.Volumes) != 2 || p.Spec.Priority == nil {
			t.Errorf("%+v", p.Spec)
		}
	})
	t.Run("kubelets see what their pods need", func(t *testing.T) {
		n1, n2 := c.client(t, c.config(t, pki.KubeletConf("n1"))), c.client(t, c.config(t, pki.KubeletConf("n2")))
		if _, err := n1.CoreV1().Secrets("default").Get(ctx, "mine", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		_, err := n1.CoreV1().Secrets("default").Get(ctx, "other", metav1.GetOptions{})
		wantForbidden(t, err, "no relationship found between node 'n1' and this object")
		_, err = n2.CoreV1().Secrets("default").Get(ctx, "mine", metav1.GetOptions{})
		wantForbidden(t, err, "no relationship found")
		_, err = n2.CoreV1().Pods("default").Get(ctx, "p", metav1.GetOptions{})
		wantForbidden(t, err, "no relationship found")
		_, err = n1.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		wantForbidden(t, err, "can only list/watch pods with spec.nodeName field selector")
		if l, err := n1.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n1"}); err != nil || len(l.Items) != 1 {
			t.Error(l, err)
		}
		_, err = n2.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
		wantForbidden(t, err, `node "n2" is not allowed to modify node "n1"`)
		node := got(n1.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}))(t)
		if len(node.Spec.Taints) != 1 || node.Spec.Taints[0].Key != corev1.TaintNodeNotReady {
			t.Errorf("taints %v", node.Spec.Taints)
		}
	})
	t.Run("kubelets do not reach beyond", func(t *testing.T) { c.beyond(t, p) })
	t.Run("tokens live and die with their pod", func(t *testing.T) { c.tokenLife(t, admin, p) })
	t.Run("nobody grants more than he has", func(t *testing.T) { c.escalation(t, admin) })
	t.Run("anonymous sees health only", func(t *testing.T) {
		pool := c.files.CA.Pool()
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		for path, want := range map[string]int{"/readyz": 200, "/version": 200, "/api": 403, "/metrics": 403, "/api/v1/namespaces": 403} {
			resp, err := h.Get(c.url + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
			}
		}
	})
	t.Run("metrics tell of the process too", func(t *testing.T) {
		b, err := admin.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
		for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "apiserver_request_total"} {
			if err != nil || !strings.Contains(string(b), "\n"+name) {
				t.Errorf("no %s: %v", name, err)
			}
		}
	})
	t.Run("namespaces", func(t *testing.T) {
		_, err := admin.CoreV1().ConfigMaps("nowhere").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
		if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), `namespaces "nowhere" not found`) {
			t.Error(err)
		}
		wantForbidden(t, admin.CoreV1().Namespaces().Delete(ctx, "kube-system", metav1.DeleteOptions{}), "this namespace may not be deleted")
	})
}

// beyond tries the ways around: all namespaces by name, subresources that nobody
// thinks of, the status of foreign claims.
func (c *cluster) beyond(t *testing.T, p *corev1.Pod) {
	ctx := t.Context()
	n2 := c.client(t, c.config(t, pki.KubeletConf("n2")))
	byName := func(n string) metav1.ListOptions { return metav1.ListOptions{FieldSelector: "metadata.name=" + n} }
	_, err := n2.CoreV1().Secrets("").List(ctx, byName("mine"))
	wantForbidden(t, err, "can only read namespaced object of this type")
	_, err = n2.CoreV1().Secrets("").Watch(ctx, byName("mine"))
	wantForbidden(t, err, "can only read namespaced object of this type")
	_, err = n2.CoreV1().ConfigMaps("").List(ctx, byName("kube-root-ca.crt"))
	wantForbidden(t, err, "can only read namespaced object of this type")
	_, err = n2.CoreV1().Pods("").List(ctx, byName(p.Name))
	wantForbidden(t, err, "can only")
	_, err = n2.CoreV1().Pods("default").Watch(ctx, byName("to-come"))
	wantForbidden(t, err, "no relationship found")
	patch := []byte(`{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"2"}}}]}}`)
	_, err = n2.CoreV1().Pods("default").Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "resize")
	wantForbidden(t, err, "kubelets may not patch pods/resize")
	_, err = n2.CoreV1().PersistentVolumeClaims("default").Patch(ctx, "claim", types.MergePatchType, []byte(`{"status":{}}`), metav1.PatchOptions{}, "status")
	wantForbidden(t, err, "no relationship found")
}

func (c *cluster) tokenLife(t *testing.T, admin kubernetes.Interface, p *corev1.Pod) {
	ctx := t.Context()
	hour := int64(3607)
	tr := func(auds ...string) *authv1.TokenRequest {
		return &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &hour, Audiences: auds,
			BoundObjectRef: &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID}}}
	}
	n1, n2 := c.client(t, c.config(t, pki.KubeletConf("n1"))), c.client(t, c.config(t, pki.KubeletConf("n2")))
	_, err := n2.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", tr(), metav1.CreateOptions{})
	wantForbidden(t, err, "no relationship found")
	token := got(n1.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", tr(), metav1.CreateOptions{}))(t).Status.Token
	other := got(n1.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", tr("vault"), metav1.CreateOptions{}))(t).Status.Token

	_, err = n1.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", tr("bank"), metav1.CreateOptions{})
	wantForbidden(t, err, `audience "bank" not found in pod spec volume`)

	who := got(c.withToken(t, token).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authv1.SelfSubjectReview{}, metav1.CreateOptions{}))(t)
	if u := who.Status.UserInfo; u.Username != "system:serviceaccount:default:default" || u.Extra["authentication.kubernetes.io/pod-name"][0] != "p" ||
		u.Extra["authentication.kubernetes.io/node-name"][0] != "n1" {
		t.Errorf("user %+v", u)
	}
	if _, err := c.withToken(t, other).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authv1.SelfSubjectReview{}, metav1.CreateOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token for another audience came in: %v", err)
	}
	review := got(admin.AuthenticationV1().TokenReviews().Create(ctx, &authv1.TokenReview{Spec: authv1.TokenReviewSpec{Token: other, Audiences: []string{"vault"}}}, metav1.CreateOptions{}))(t)
	if !review.Status.Authenticated || review.Status.Audiences[0] != "vault" {
		t.Errorf("review %+v", review.Status)
	}
	zero := int64(0)
	if err := admin.CoreV1().Pods("default").Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.withToken(t, token).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authv1.SelfSubjectReview{}, metav1.CreateOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("the token outlived its pod: %v", err)
	}
}

func (c *cluster) escalation(t *testing.T, admin kubernetes.Interface) {
	ctx := t.Context()
	jane := rest.CopyConfig(c.config(t, pki.ConfAdmin))
	jane.Impersonate = rest.ImpersonationConfig{UserName: "jane", Groups: []string{"system:authenticated"}}
	got(admin.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "jane"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"}, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jane"}}}, metav1.CreateOptions{}))(t)
	k := c.client(t, jane)
	role := func(res string) error {
		_, err := k.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: res},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{res}, Verbs: []string{"get"}}}}, metav1.CreateOptions{})
		return err
	}
	for { // the binding reaches the authorizer by a watch
		if err := role("pods"); err == nil {
			break
		} else if !strings.Contains(err.Error(), "cannot create resource") {
			t.Fatal(err)
		}
	}
	wantForbidden(t, role("nodes"), `is attempting to grant RBAC permissions not currently held:`)
	_, err := k.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "up"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}, metav1.CreateOptions{})
	wantForbidden(t, err, "not currently held")
}

// got is a result of a call that must succeed: got(f())(t).
func got[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantForbidden(t *testing.T, err error, text string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want forbidden: %s", err, text)
	}
}

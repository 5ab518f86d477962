package apiserver

import (
	"context"
	"net"
	"strings"
	"testing"

	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/request"
	"hyperkube/store"
	"hyperkube/store/etcd"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
)

// noDiscard allows everything but to remove what cannot be read.
type noDiscard struct{ who }

func (noDiscard) Authorize(_ context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	if u.Name == "deleter" && i.Verb == "unsafe-delete-ignore-read-errors" {
		return request.NoOpinion, "", nil
	}
	return request.Allow, "", nil
}

// otherVersion stores objects as a server of another version would.
func otherVersion(t *testing.T, member *etcd.Server, names ...string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Etcd: member})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Register(store.Resource{
		Name: "configmaps", Prefix: "configmaps", Namespaced: true, New: func() store.Object { return &corev1.ConfigMap{} },
		GVK: schema.GroupVersionKind{Version: "v9", Kind: "ConfigMap"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, _ := s.Collection("", "configmaps")
	for _, n := range names {
		if _, err := c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: n}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnreadableObject shows what a client is told of an object that the server
// cannot read, and who may remove it how.
func TestUnreadableObject(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	member, err := etcd.Start(ctx, etcd.Config{Dir: t.TempDir(), Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	otherVersion(t, member, "x", "y")
	st, err := store.Open(ctx, store.Options{Etcd: member, DetectMutation: true, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	all := served(t, st, kinds.All())
	if err := st.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair := selfSigned(t)
	s, err := New(Options{Store: st, Served: all, Listener: ln, TLS: TLS{Certificate: &pair}, Authenticator: who{}, Authorizer: noDiscard{}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		st.Close()
		member.Stop()
	})
	<-s.Ready()
	warnings := &warned{}
	conf := s.ClientConfig(admin)
	conf.WarningHandler = warnings
	maps := kubernetes.NewForConfigOrDie(conf).CoreV1().ConfigMaps("default")
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "good"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil || len(l.Items) != 1 || !strings.Contains(warnings.text, "2 stored configmaps cannot be read") {
		t.Errorf("list: %v %v, warned %q", l, err, warnings.text)
	}
	x := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	for verb, call := range map[string]func() error{
		"get":    func() error { _, err := maps.Get(ctx, "x", metav1.GetOptions{}); return err },
		"create": func() error { _, err := maps.Create(ctx, x, metav1.CreateOptions{}); return err },
		"update": func() error { _, err := maps.Update(ctx, x, metav1.UpdateOptions{}); return err },
		"delete": func() error { return maps.Delete(ctx, "x", metav1.DeleteOptions{}) },
	} {
		err := call()
		st, ok := err.(apierrors.APIStatus)
		if !ok || !apierrors.IsStoreReadError(err) || st.Status().Code != 500 || len(st.Status().Details.Causes) != 1 ||
			st.Status().Details.Causes[0].Field != "/registry/configmaps/default/x" || !strings.Contains(st.Status().Details.Causes[0].Message, "v9 ConfigMap") {
			t.Errorf("%s: %+v", verb, err)
		}
	}
	yes := true
	force := metav1.DeleteOptions{IgnoreStoreReadErrorWithClusterBreakingPotential: &yes}
	deleter := s.ClientConfig(&request.User{Name: "deleter", Groups: []string{request.GroupAuthenticated}})
	other := kubernetes.NewForConfigOrDie(deleter).CoreV1().ConfigMaps("default")
	if err := other.Delete(ctx, "x", force); !apierrors.IsForbidden(err) {
		t.Error("without the right:", err)
	}
	dry := force
	dry.DryRun = []string{metav1.DryRunAll}
	if err := maps.Delete(ctx, "x", dry); err != nil {
		t.Error("dry run:", err)
	}
	if _, err := maps.Get(ctx, "x", metav1.GetOptions{}); !apierrors.IsStoreReadError(err) {
		t.Error("a dry run removed it:", err)
	}
	if err := maps.Delete(ctx, "x", force); err != nil {
		t.Error("with the right:", err)
	}
	if _, err := maps.Get(ctx, "x", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Error("after removal:", err)
	}
	if _, err := maps.Create(ctx, x, metav1.CreateOptions{}); err != nil {
		t.Error("create after removal:", err)
	}
	if err := maps.Delete(ctx, "good", force); err != nil {
		t.Error("an object that can be read is deleted as always:", err)
	}
}

type warned struct{ text string }

func (w *warned) HandleWarningHeader(_ int, _ string, text string) { w.text += text }

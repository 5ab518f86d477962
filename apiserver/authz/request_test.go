package authz_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/authn"
	"hyperkube/apiserver/authz"
	"hyperkube/apiserver/authz/bootstrap"
	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
)

// BenchmarkRequest is what security costs one request: who is it, and may he.
func BenchmarkRequest(b *testing.B) {
	s := rbacStore()
	if err := bootstrap.Ensure(b.Context(), s, time.Unix(0, 0)); err != nil {
		b.Fatal(err)
	}
	for i := range 110 {
		s.Put("pods", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("p", i)}, Spec: corev1.PodSpec{NodeName: "n1",
			Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: fmt.Sprint("s", i)}}}}}})
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	rbac := authz.NewRBAC(s, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- rbac.Run(ctx) }()
	for !rbac.Ready() {
	}
	all, err := authz.Chain([]string{authz.ModeNode, authz.ModeRBAC}, map[string]request.Authorizer{authz.ModeNode: authz.NewNode(s), authz.ModeRBAC: rbac})
	if err != nil {
		b.Fatal(err)
	}
	ca, err := pki.NewCA("ca", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	a, err := authn.New(authn.Config{ClientCAs: pki.FixedPool(ca)})
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		who  pki.Leaf
		what *request.Info
	}{
		"admin":          {pki.Leaf{CommonName: "admin", Organization: []string{"system:masters"}, Client: true}, parseQuestion("get pods p", "a")},
		"scheduler":      {pki.Leaf{CommonName: "system:kube-scheduler", Client: true}, parseQuestion("create pods/binding p", "a")},
		"kubelet status": {pki.NodeClient("n1"), parseQuestion("patch pods/status p1", "a")},
		"kubelet secret": {pki.NodeClient("n1"), parseQuestion("get secrets s60", "a")},
	} {
		b.Run(name, func(b *testing.B) {
			p, err := ca.Issue(c.who, time.Now())
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{p.Cert}}
			b.ReportAllocs()
			for b.Loop() {
				u, _, err := a.Authenticate(r)
				if err != nil {
					b.Fatal(err)
				}
				if d, reason, _ := all.Authorize(ctx, u, c.what); d != request.Allow {
					b.Fatal(reason)
				}
			}
		})
	}
	cancel()
	<-done
}

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// As makes clients that speak as a service account of kube-system, which is made
// when it is missing. Nothing is sent before the first request.
func (r *Remote) As(account string) (kubernetes.Interface, metadata.Interface, error) {
	conf := rest.AnonymousClientConfig(r.Config)
	conf.UserAgent = r.Config.UserAgent + "/system:serviceaccount:" + metav1.NamespaceSystem + ":" + account
	conf.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &bearer{kube: r.Kube, account: account, next: next}
	})
	meta, err := metadata.NewForConfig(conf)
	if err != nil {
		return nil, nil, fmt.Errorf("metadata client of %s: %w", account, err)
	}
	kube, err := kubernetes.NewForConfig(asProtobuf(conf, ""))
	if err != nil {
		return nil, nil, fmt.Errorf("client of %s: %w", account, err)
	}
	return kube, meta, nil
}

// bearer adds a token of the account to requests and replaces it before it ends.
type bearer struct {
	kube    kubernetes.Interface
	account string
	next    http.RoundTripper

	mu    sync.Mutex
	held  string
	renew time.Time
}

const (
	tokenSeconds = 3600
	tokenTimeout = 10 * time.Second
)

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := b.token(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := b.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		b.forget(token)
	}
	return resp, err
}

func (b *bearer) forget(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == token {
		b.held = ""
	}
}

func (b *bearer) token(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.held != "" && now.Before(b.renew) {
		return b.held, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	tr, err := b.ask(ctx)
	if apierrors.IsNotFound(err) {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: b.account}}
		if _, err := b.kube.CoreV1().ServiceAccounts(sa.Namespace).Create(ctx, sa, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("making service account %s: %w", b.account, err)
		}
		tr, err = b.ask(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("token of service account %s: %w", b.account, err)
	}
	b.held, b.renew = tr.Status.Token, now.Add(tr.Status.ExpirationTimestamp.Sub(now)*4/5)
	return b.held, nil
}

func (b *bearer) ask(ctx context.Context) (*authnv1.TokenRequest, error) {
	seconds := int64(tokenSeconds)
	return b.kube.CoreV1().ServiceAccounts(metav1.NamespaceSystem).CreateToken(ctx, b.account,
		&authnv1.TokenRequest{Spec: authnv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
}

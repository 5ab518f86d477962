package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/lru"
)

// User is who asks.
type User struct {
	Name, UID string
	Groups    []string
	Extra     map[string]authzv1.ExtraValue
}

// Auth decides who may ask what.
type Auth struct {
	// Authenticate returns nil without an error when the request carries nothing it knows.
	Authenticate func(r *http.Request) (*User, error)
	// Authorize decides on a verb and a subresource of this node.
	Authorize func(ctx context.Context, u *User, verb, node, subresource string) (bool, error)
}

const (
	cacheSize   = 4096
	tokenLife   = 2 * time.Minute
	allowedLife = 5 * time.Minute
	deniedLife  = 30 * time.Second
	reviewLimit = 10 * time.Second
)

// Reviews authenticates by client certificates and TokenReview, and authorizes by SubjectAccessReview, with short memories.
func Reviews(kube kubernetes.Interface) Auth {
	tokens, answers := lru.New(cacheSize), lru.New(cacheSize)
	return Auth{
		Authenticate: func(r *http.Request) (*User, error) {
			if u := certificate(r); u != nil {
				return u, nil
			}
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok || token == "" {
				return nil, nil
			}
			return review(r.Context(), kube, tokens, token)
		},
		Authorize: func(ctx context.Context, u *User, verb, node, sub string) (bool, error) {
			return access(ctx, kube, answers, u, verb, node, sub)
		},
	}
}

func certificate(r *http.Request) *User {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	leaf := r.TLS.VerifiedChains[0][0]
	return &User{Name: leaf.Subject.CommonName, Groups: append(leaf.Subject.Organization, "system:authenticated")}
}

type remembered struct {
	user  *User
	ok    bool
	until time.Time
}

func review(ctx context.Context, kube kubernetes.Interface, cache *lru.Cache, token string) (*User, error) {
	key := sha256.Sum256([]byte(token))
	if v, ok := cache.Get(key); ok && time.Now().Before(v.(remembered).until) {
		return v.(remembered).user, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewLimit)
	defer cancel()
	tr, err := kube.AuthenticationV1().TokenReviews().Create(ctx, &authnv1.TokenReview{Spec: authnv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token review: %w", err)
	}
	if !tr.Status.Authenticated {
		return nil, errors.New("invalid token")
	}
	u := &User{Name: tr.Status.User.Username, UID: tr.Status.User.UID, Groups: tr.Status.User.Groups, Extra: map[string]authzv1.ExtraValue{}}
	for k, v := range tr.Status.User.Extra {
		u.Extra[k] = authzv1.ExtraValue(v)
	}
	cache.Add(key, remembered{user: u, until: time.Now().Add(tokenLife)})
	return u, nil
}

func access(ctx context.Context, kube kubernetes.Interface, cache *lru.Cache, u *User, verb, node, sub string) (bool, error) {
	key := strings.Join([]string{u.Name, u.UID, strings.Join(u.Groups, ","), verb, node, sub}, "\x00")
	if v, ok := cache.Get(key); ok && time.Now().Before(v.(remembered).until) {
		return v.(remembered).ok, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewLimit)
	defer cancel()
	sar, err := kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
		User: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra,
		ResourceAttributes: &authzv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: "nodes", Subresource: sub, Name: node},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("access review: %w", err)
	}
	life := deniedLife
	if sar.Status.Allowed {
		life = allowedLife
	}
	cache.Add(key, remembered{ok: sar.Status.Allowed, until: time.Now().Add(life)})
	return sar.Status.Allowed, nil
}

// guard lets only requests through that may be made.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := s.o.Auth.Authenticate(r)
		if err != nil {
			s.o.Log.Debug("kubelet request not authenticated", "path", r.URL.Path, "err", err)
		}
		if err != nil || u == nil {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		verb := verbOf(r.Method)
		var denied string
		for _, sub := range subresources(r.URL.Path) {
			ok, err := s.o.Auth.Authorize(r.Context(), u, verb, s.o.NodeName, sub)
			if err != nil {
				http.Error(w, fmt.Sprintf("Authorization error (user=%s, verb=%s, resource=nodes, subresource=%s): %v", u.Name, verb, sub, err), http.StatusInternalServerError)
				return
			}
			if ok {
				next.ServeHTTP(w, r)
				return
			}
			denied = sub
		}
		http.Error(w, fmt.Sprintf("Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=[%s])", u.Name, verb, denied), http.StatusForbidden)
	})
}

func verbOf(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return "get"
}

// subresources are those of the node of which any one allows a path.
func subresources(path string) []string {
	head, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch head {
	case "stats", "metrics":
		return []string{head}
	case "logs":
		return []string{"log"}
	case "checkpoint":
		return []string{"checkpoint"}
	case "pods", "runningpods":
		return []string{"pods", "proxy"}
	case "healthz", "configz":
		return []string{head, "proxy"}
	}
	return []string{"proxy"}
}

// selfSigned makes a serving certificate for a kubelet that was given none.
func selfSigned(name string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

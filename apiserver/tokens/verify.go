package tokens

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// legacyIssuer is in tokens made from secrets.
const legacyIssuer = "kubernetes/serviceaccount"

// labelInvalidSince marks secrets whose token was not used for long and is to go.
const labelInvalidSince = "kubernetes.io/legacy-token-invalid-since"

// Leeway for clocks, and for pods that end: their token works a little longer
// than their deletion timestamp so that they can say goodbye.
const (
	clockLeeway    = 30 * time.Second
	deletionLeeway = 60 * time.Second
)

// verified is a token whose signature was good, with the user it stands for.
// Immutable and shared.
type verified struct {
	claims claims
	user   *request.User
}

// Authenticate reads the bearer token of a request.
func (s *Service) Authenticate(r *http.Request) (*request.User, bool, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, false, nil
	}
	u, _, ok, err := s.Verify(r.Context(), token, nil)
	return u, ok, err
}

// Verify says whose token it is. auds are those the asker answers to; empty
// means this server's own; matched are those of them that the token has.
// ok is false without an error when the token is not one of ours at all.
// The user is shared and read-only.
func (s *Service) Verify(ctx context.Context, token string, auds []string) (u *request.User, matched []string, ok bool, err error) {
	sum := sha256.Sum256([]byte(token))
	set := s.current()
	v, known := set.seen.Get(sum)
	if !known {
		p, err := parse(token)
		if err != nil || !s.issuers[p.claims.Issuer] && p.claims.Issuer != legacyIssuer {
			return nil, nil, false, nil
		}
		if err := set.signature(p); err != nil {
			return nil, nil, false, fmt.Errorf("service-account token: %w", err)
		}
		v = &verified{claims: p.claims}
		v.user = v.claims.user()
	}
	if matched, err = s.judge(ctx, v, token, auds); err != nil {
		return nil, nil, false, fmt.Errorf("service-account token: %w", err)
	}
	if !known {
		set.seen.Add(sum, v)
	}
	return v.user, matched, true, nil
}

func (s *keyset) signature(p *parts) error {
	err := errSignature
	for _, k := range s.keys {
		if err = k.check(p); err == nil {
			return nil
		}
	}
	return err
}

func (s *Service) judge(ctx context.Context, v *verified, token string, auds []string) ([]string, error) {
	c := &v.claims
	if c.Issuer == legacyIssuer && c.Kubernetes == nil {
		if len(auds) > 0 && !subsetAny(auds, s.cfg.APIAudiences) {
			return nil, errAudience(auds)
		}
		return s.cfg.APIAudiences, s.legacyLive(ctx, c, token)
	}
	if err := s.times(c); err != nil {
		return nil, err
	}
	if len(auds) == 0 {
		auds = s.cfg.APIAudiences
	}
	var matched []string
	for _, a := range auds {
		if contains(c.Audience, a) {
			matched = append(matched, a)
		}
	}
	if len(matched) == 0 {
		return nil, errAudience(c.Audience)
	}
	if !c.complete() {
		return nil, errors.New("claims of the token are incomplete")
	}
	return matched, s.live(ctx, c.Kubernetes)
}

func errAudience(have []string) error {
	return fmt.Errorf("token audiences %q are not for this server", have)
}

func subsetAny(a, b []string) bool {
	for _, s := range a {
		if contains(b, s) {
			return true
		}
	}
	return false
}

func (s *Service) times(c *claims) error {
	now := s.cfg.Now()
	if c.Expires == 0 || now.After(time.Unix(c.Expires, 0)) {
		return errors.New("token has expired")
	}
	if c.NotBefore != 0 && now.Add(clockLeeway).Before(time.Unix(c.NotBefore, 0)) {
		return errors.New("token is not valid yet")
	}
	return nil
}

func (c *claims) complete() bool {
	k := c.Kubernetes
	return k != nil && k.Namespace != "" && k.ServiceAccount != nil && k.ServiceAccount.Name != "" && k.ServiceAccount.UID != "" &&
		c.Subject == request.ServiceAccountPrefix+k.Namespace+":"+k.ServiceAccount.Name
}

// live looks up everything the token is bound to.
func (s *Service) live(ctx context.Context, k *private) error {
	check := []struct {
		resource, ns string
		ref          *ref
	}{
		{"serviceaccounts", k.Namespace, k.ServiceAccount},
		{"pods", k.Namespace, k.Pod},
		{"secrets", k.Namespace, k.Secret},
	}
	for _, c := range check {
		if c.ref == nil {
			continue
		}
		if err := s.alive(ctx, c.resource, store.Key{Namespace: c.ns, Name: c.ref.Name}, c.ref.UID); err != nil {
			return err
		}
	}
	if k.Node != nil && k.Pod == nil && k.Secret == nil {
		return s.alive(ctx, "nodes", store.Key{Name: k.Node.Name}, k.Node.UID)
	}
	return nil
}

// alive checks that the object exists under the same uid and is not long
// deleted. The snapshot at hand is asked first; only a refusal is confirmed
// with a read that is as new as etcd.
func (s *Service) alive(ctx context.Context, resource string, key store.Key, uid string) error {
	c, ok := s.cfg.Reader.Collection("", resource)
	if !ok {
		return fmt.Errorf("no collection of %s", resource)
	}
	err := s.aliveAt(ctx, c, key, uid, store.Freshness{Any: true})
	if err != nil {
		err = s.aliveAt(ctx, c, key, uid, store.Freshness{})
	}
	return err
}

func (s *Service) aliveAt(ctx context.Context, c store.Collection, key store.Key, uid string, f store.Freshness) error {
	e, err := c.Get(ctx, key, f)
	what := strings.TrimSuffix(c.Resource().Name, "s")
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("its %s %q was deleted", what, key.Name)
	case err != nil:
		return fmt.Errorf("looking up %s %q: %w", what, key.Name, err)
	case string(e.Object.GetUID()) != uid:
		return fmt.Errorf("its %s %q was deleted and made anew", what, key.Name)
	}
	if d := e.Object.GetDeletionTimestamp(); d != nil && s.cfg.Now().After(d.Add(deletionLeeway)) {
		return fmt.Errorf("its %s %q was deleted", what, key.Name)
	}
	return nil
}

func (s *Service) legacyLive(ctx context.Context, c *claims, token string) error {
	if c.LegacyNamespace == "" || c.LegacyAccount == "" || c.LegacySecret == "" || c.LegacyAccountUID == "" ||
		c.Subject != request.ServiceAccountPrefix+c.LegacyNamespace+":"+c.LegacyAccount {
		return errors.New("claims of the token are incomplete")
	}
	col, ok := s.cfg.Reader.Collection("", "secrets")
	if !ok {
		return errors.New("no collection of secrets")
	}
	e, err := col.Get(ctx, store.Key{Namespace: c.LegacyNamespace, Name: c.LegacySecret}, store.Freshness{})
	if err != nil {
		return fmt.Errorf("its secret %q: %w", c.LegacySecret, err)
	}
	secret, ok := e.Object.(*corev1.Secret)
	if !ok || secret.DeletionTimestamp != nil || subtle.ConstantTimeCompare(secret.Data[corev1.ServiceAccountTokenKey], []byte(token)) == 0 {
		return fmt.Errorf("its secret %q no longer holds it", c.LegacySecret)
	}
	if secret.Labels[labelInvalidSince] != "" {
		return fmt.Errorf("the token in secret %s/%s for service account %s/%s has been marked invalid: use tokens of the TokenRequest API, "+
			"or remove the label %s from the secret to let it be used for a while", c.LegacyNamespace, c.LegacySecret, c.LegacyNamespace, c.LegacyAccount, labelInvalidSince)
	}
	return s.alive(ctx, "serviceaccounts", store.Key{Namespace: c.LegacyNamespace, Name: c.LegacyAccount}, c.LegacyAccountUID)
}

// Extra keys by which audit logs and NodeRestriction know a token's binding.
const (
	ExtraCredentialID = "authentication.kubernetes.io/credential-id"
	ExtraPodName      = "authentication.kubernetes.io/pod-name"
	ExtraPodUID       = "authentication.kubernetes.io/pod-uid"
	ExtraNodeName     = "authentication.kubernetes.io/node-name"
	ExtraNodeUID      = "authentication.kubernetes.io/node-uid"
)

func (c *claims) user() *request.User {
	ns, uid := c.LegacyNamespace, c.LegacyAccountUID
	extra := map[string][]string{}
	if c.ID != "" {
		extra[ExtraCredentialID] = []string{"JTI=" + c.ID}
	}
	if k := c.Kubernetes; k != nil {
		ns = k.Namespace
		if k.ServiceAccount != nil {
			uid = k.ServiceAccount.UID
		}
		add := func(name, value string) {
			if value != "" {
				extra[name] = []string{value}
			}
		}
		if k.Pod != nil {
			add(ExtraPodName, k.Pod.Name)
			add(ExtraPodUID, k.Pod.UID)
		}
		if k.Node != nil {
			add(ExtraNodeName, k.Node.Name)
			add(ExtraNodeUID, k.Node.UID)
		}
	}
	return &request.User{
		Name: c.Subject, UID: uid, Extra: extra,
		Groups: []string{request.GroupServiceAccounts, request.GroupServiceAccounts + ":" + ns, request.GroupAuthenticated},
	}
}

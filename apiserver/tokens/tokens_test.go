package tokens_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/storetest"
	"hyperkube/apiserver/tokens"
	"hyperkube/store"
)

const issuer = "https://kubernetes.default.svc.cluster.local"

// fixture is a service with a clock that tests turn.
type fixture struct {
	*tokens.Service
	store *storetest.Store
	now   time.Time
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func setup(t testing.TB, key crypto.Signer) *fixture {
	t.Helper()
	f := &fixture{store: storetest.New("serviceaccounts", "pods", "secrets", "nodes"), now: time.Unix(1_800_000_000, 0)}
	var err error
	f.Service, err = tokens.New(tokens.Config{Issuer: issuer, Key: key, Reader: f.store, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	f.store.Put("serviceaccounts", &corev1.ServiceAccount{ObjectMeta: meta("sa")})
	f.store.Put("pods", &corev1.Pod{ObjectMeta: meta("p")})
	return f
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "a", Name: name, UID: types.UID("uid-" + name)}
}

func claims() kind.TokenClaims {
	return kind.TokenClaims{Namespace: "a", ServiceAccount: "sa", UID: "uid-sa", Lifetime: time.Hour,
		BoundKind: "Pod", BoundName: "p", BoundUID: "uid-p", NodeName: "n"}
}

func (f *fixture) issue(t testing.TB, c kind.TokenClaims) string {
	t.Helper()
	token, _, err := f.Issue(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// verdict renders a verification: "user", "no: reason" or "not mine".
func (f *fixture) verdict(token string, auds ...string) string {
	u, _, ok, err := f.Verify(context.Background(), token, auds)
	switch {
	case err != nil:
		return "no: " + err.Error()
	case !ok:
		return "not mine"
	}
	return u.Name
}

const user = "system:serviceaccount:a:sa"

func TestLifeOfAToken(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for name, key := range map[string]crypto.Signer{"ES256": newKey(t), "ES384": p384, "RS256": rsaKey} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, key)
			token := f.issue(t, claims())
			check := func(want string, auds ...string) {
				t.Helper()
				for range 2 { // the second time from the cache
					if got := f.verdict(token, auds...); !strings.HasPrefix(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			}
			check(user)
			check(user, issuer, "x")
			check("no: service-account token: token audiences", "vault")
			pods, _ := f.store.Collection("", "pods")
			pods.Delete(t.Context(), store.Key{Namespace: "a", Name: "p"}, nil)
			check(`no: service-account token: its pod "p" was deleted`)
			reborn := meta("p")
			reborn.UID = "another"
			f.store.Put("pods", &corev1.Pod{ObjectMeta: reborn})
			check(`no: service-account token: its pod "p" was deleted and made anew`)
			f.store.Put("pods", &corev1.Pod{ObjectMeta: meta("p")})
			check(user)
			f.now = f.now.Add(time.Hour + time.Second)
			check("no: service-account token: token has expired")
			f.now = f.now.Add(-2 * time.Hour)
			check("no: service-account token: token is not valid yet")
		})
	}
}

func TestDeletedPodsHaveAMinute(t *testing.T) {
	f := setup(t, newKey(t))
	token := f.issue(t, claims())
	ending := meta("p")
	at := metav1.NewTime(f.now)
	ending.DeletionTimestamp = &at
	f.store.Put("pods", &corev1.Pod{ObjectMeta: ending})
	if got := f.verdict(token); got != user {
		t.Error(got)
	}
	f.now = f.now.Add(61 * time.Second)
	if got := f.verdict(token); !strings.Contains(got, "deleted") {
		t.Error(got)
	}
}

func TestForgeries(t *testing.T) {
	f := setup(t, newKey(t))
	good := f.issue(t, claims())
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	change := func(part int, from, to string) string {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[part])
		p := append([]string{}, parts...)
		p[part] = enc([]byte(strings.Replace(string(raw), from, to, 1)))
		return strings.Join(p, ".")
	}
	bad := "no: service-account token: signature is not valid"
	for name, c := range map[string]struct{ token, want string }{
		"other name":      {change(1, "a:sa", "a:root"), bad},
		"later expiry":    {change(1, `"exp":1800003600`, `"exp":1900003600`), bad},
		"alg none":        {enc([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", "not mine"}, // no algorithm of ours: a 401 all the same
		"alg HS256":       {change(0, "ES256", "HS256"), "not mine"},
		"alg RS256":       {change(0, "ES256", "RS256"), bad},
		"other key":       {setup(t, newKey(t)).issue(t, claims()), bad},
		"no signature":    {parts[0] + "." + parts[1] + ".", bad},
		"critical header": {enc([]byte(`{"alg":"ES256","crit":["x"]}`)) + "." + parts[1] + "." + parts[2], bad},
		"other issuer":    {change(1, `"iss":"`+issuer, `"iss":"https://evil.example`), "not mine"},
		"four parts":      {good + ".x", "not mine"},
		"opaque":          {"abc", "not mine"},
		"empty":           {"", "not mine"},
		"huge":            {strings.Repeat("a", 1<<17), "not mine"},
		"padded":          {parts[0] + "." + parts[1] + "." + parts[2] + "==", "not mine"},
	} {
		if got := f.verdict(c.token); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestExtension(t *testing.T) {
	f := setup(t, newKey(t))
	c := claims()
	c.Lifetime = 3607 * time.Second
	token, expires, err := f.Issue(t.Context(), c)
	if err != nil || !expires.Equal(f.now.Add(c.Lifetime)) {
		t.Fatal(expires, err)
	}
	f.now = f.now.Add(300 * 24 * time.Hour)
	if got := f.verdict(token); got != user {
		t.Error("an extended token ended early: ", got)
	}
	c.Audiences = []string{"vault"}
	token = f.issue(t, c)
	f.now = f.now.Add(2 * time.Hour)
	if got := f.verdict(token, "vault"); !strings.Contains(got, "expired") {
		t.Error("a token for others was extended: ", got)
	}
}

func TestLegacy(t *testing.T) {
	f := setup(t, newKey(t))
	token, err := f.IssueLegacy("a", "sa", "uid-sa", "s")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.verdict(token); !strings.HasPrefix(got, "no: ") {
		t.Error("accepted without a secret: ", got)
	}
	f.store.Put("secrets", &corev1.Secret{ObjectMeta: meta("s"), Data: map[string][]byte{"token": []byte(token)}})
	if got := f.verdict(token); got != user {
		t.Error(got)
	}
	marked := meta("s")
	marked.Labels = map[string]string{"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}
	f.store.Put("secrets", &corev1.Secret{ObjectMeta: marked, Data: map[string][]byte{"token": []byte(token)}})
	if got := f.verdict(token); !strings.Contains(got, "has been marked invalid") {
		t.Error("accepted though its secret is marked: ", got)
	}
	f.store.Put("secrets", &corev1.Secret{ObjectMeta: meta("s"), Data: map[string][]byte{"token": []byte(token)}})
	if got := f.verdict(token); got != user {
		t.Error("refused when the mark is gone: ", got)
	}
	f.store.Put("secrets", &corev1.Secret{ObjectMeta: meta("s"), Data: map[string][]byte{"token": []byte("other")}})
	if got := f.verdict(token); !strings.Contains(got, "no longer holds it") {
		t.Error(got)
	}
}

func TestDiscovery(t *testing.T) {
	f := setup(t, newKey(t))
	s := httptest.NewServer(f.Handler())
	defer s.Close()
	read := func(path, contentType string) map[string]any {
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s is %s", path, got)
		}
		body, _ := io.ReadAll(resp.Body)
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if d := read(tokens.DiscoveryPath, "application/json"); d["issuer"] != issuer || d["jwks_uri"] != issuer+"/openid/v1/jwks" {
		t.Errorf("%v", d)
	}
	key := read(tokens.JWKSPath, "application/jwk-set+json")["keys"].([]any)[0].(map[string]any)
	if key["crv"] != "P-256" || key["alg"] != "ES256" || len(key["x"].(string)) != 43 {
		t.Errorf("%v", key)
	}
}

// No input makes the parser panic or accepts what was not signed.
func FuzzVerify(f *testing.F) {
	x := setup(f, newKey(f))
	good := x.issue(f, claims())
	f.Add(good)
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		_, _, ok, _ := x.Verify(context.Background(), token, nil)
		if ok && token != good {
			t.Fatalf("accepted %q", token)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	f := setup(b, newKey(b))
	token := f.issue(b, claims())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok, err := f.Verify(context.Background(), token, nil); !ok {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	f := setup(b, newKey(b))
	for b.Loop() {
		f.issue(b, claims())
	}
}

// TestKeysChange: a token lives as long as the key that signed it is among the keys, also
// when its signature was found good before, and the documents follow.
func TestKeysChange(t *testing.T) {
	own, first, second := newKey(t), newKey(t), newKey(t)
	keys := []crypto.PublicKey{first.Public()}
	f := setup(t, own)
	var err error
	f.Service, err = tokens.New(tokens.Config{Issuer: issuer, Key: own, VerifyKeys: func() []crypto.PublicKey { return keys }, Reader: f.store, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(k *ecdsa.PrivateKey) string { return setup(t, k).issue(t, claims()) }
	of := map[string]string{"own": signedBy(own), "first": signedBy(first), "second": signedBy(second)}
	check := func(good ...string) {
		t.Helper()
		for range 2 { // the second time from the cache
			for name, token := range of {
				if got := f.verdict(token); (got == user) != slices.Contains(good, name) {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, tokens.JWKSPath, nil))
		var set struct{ Keys []any }
		if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil || len(set.Keys) != len(good) {
			t.Errorf("%d keys are told, %v", len(set.Keys), err)
		}
	}
	check("own", "first")
	keys = []crypto.PublicKey{first.Public(), second.Public()}
	check("own", "first", "second")
	keys = []crypto.PublicKey{second.Public()}
	check("own", "second")
}

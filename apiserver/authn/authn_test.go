package authn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/apiserver/authn"
	"hyperkube/apiserver/request"
	"hyperkube/internal/pki"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newCA(t testing.TB, name string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(name, start)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func leaf(t testing.TB, ca *pki.CA, l pki.Leaf) *x509.Certificate {
	t.Helper()
	p, err := ca.Issue(l, start)
	if err != nil {
		t.Fatal(err)
	}
	return p.Cert
}

func with(certs ...*x509.Certificate) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if len(certs) > 0 {
		r.TLS = &tls.ConnectionState{PeerCertificates: certs}
	}
	return r
}

func show(u *request.User, ok bool, err error) string {
	switch {
	case err != nil:
		return "401"
	case !ok:
		return "unknown"
	}
	return fmt.Sprint(u.Name, " ", u.Groups)
}

// opaque verifies one token.
type opaque struct{}

func (opaque) Verify(_ context.Context, token string, _ []string) (*request.User, []string, bool, error) {
	if token == "bad" {
		return nil, nil, false, fmt.Errorf("bad")
	}
	return &request.User{Name: "bearer", Groups: []string{"system:authenticated"}}, nil, token == "good", nil
}

func TestAuthenticate(t *testing.T) {
	ca, proxyCA, foreign := newCA(t, "ca"), newCA(t, "proxy"), newCA(t, "ca")
	now := start
	file := filepath.Join(t.TempDir(), "tokens.csv")
	if err := os.WriteFile(file, []byte("# tokens\nfile,jane,7,\"dev,ops\"\nplain,joe,8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := authn.New(authn.Config{
		ClientCAs: pki.FixedPool(ca), Tokens: []authn.TokenVerifier{opaque{}}, TokenFile: file, APIAudiences: []string{"api"}, Anonymous: true,
		FrontProxy: &authn.FrontProxy{CAs: pki.FixedPool(proxyCA), AllowedNames: []string{"front-proxy-client"},
			UserHeaders: []string{"X-Remote-User"}, GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"}},
		Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	admin := leaf(t, ca, pki.Leaf{CommonName: "admin", Organization: []string{"system:masters"}, Client: true})
	header := func(r *http.Request, kv ...string) *http.Request {
		for i := 0; i < len(kv); i += 2 {
			r.Header.Add(kv[i], kv[i+1])
		}
		return r
	}
	proxied := []string{"X-Remote-User", "eve", "X-Remote-Group", "g"}
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"nobody":                    {with(), "system:anonymous [system:unauthenticated]"},
		"certificate":               {with(admin), "admin [system:masters system:authenticated]"},
		"foreign CA of same name":   {with(leaf(t, foreign, pki.Leaf{CommonName: "admin", Client: true})), "401"},
		"serving certificate":       {with(leaf(t, ca, pki.Leaf{CommonName: "system:node:n", Server: true})), "401"},
		"no common name":            {with(leaf(t, ca, pki.Leaf{Client: true})), "401"},
		"bearer":                    {header(with(), "Authorization", "Bearer good"), "bearer [system:authenticated]"},
		"bearer, other case":        {header(with(), "Authorization", "bearer  good"), "bearer [system:authenticated]"},
		"bad bearer":                {header(with(), "Authorization", "Bearer bad"), "401"},
		"unknown bearer":            {header(with(), "Authorization", "Bearer x"), "401"},
		"basic":                     {header(with(), "Authorization", "Basic eDp5"), "401"},
		"bad certificate, bearer":   {header(with(leaf(t, foreign, pki.Leaf{CommonName: "a", Client: true})), "Authorization", "Bearer good"), "bearer [system:authenticated]"},
		"file with groups":          {header(with(), "Authorization", "Bearer file"), "jane [dev ops system:authenticated]"},
		"file":                      {header(with(), "Authorization", "Bearer plain"), "joe [system:authenticated]"},
		"front proxy":               {header(with(leaf(t, proxyCA, pki.Leaf{CommonName: "front-proxy-client", Client: true})), proxied...), "eve [g system:authenticated]"},
		"front proxy, wrong name":   {header(with(leaf(t, proxyCA, pki.Leaf{CommonName: "x", Client: true})), proxied...), "401"},
		"headers without a proxy":   {header(with(), proxied...), "system:anonymous [system:unauthenticated]"},
		"headers from a plain user": {header(with(admin), proxied...), "admin [system:masters system:authenticated]"},
	} {
		if got := show(a.Authenticate(c.r)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	now = start.Add(2 * 365 * 24 * time.Hour)
	if got := show(a.Authenticate(with(admin))); got != "401" {
		t.Error("an expired certificate came in from the cache: ", got)
	}
}

func TestWebSocketToken(t *testing.T) {
	a, err := authn.New(authn.Config{Tokens: []authn.TokenVerifier{opaque{}}})
	if err != nil {
		t.Fatal(err)
	}
	r := with()
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io."+base64.RawURLEncoding.EncodeToString([]byte("good"))+", v5.channel.k8s.io")
	if got := show(a.Authenticate(r)); got != "bearer [system:authenticated]" {
		t.Error(got)
	}
	if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "v5.channel.k8s.io" {
		t.Errorf("the token is handed on: %s", got)
	}
}

func TestTokenFileErrors(t *testing.T) {
	for content, want := range map[string]string{"a,b\n": "line 1 has 2 columns", "x,y,z\n,u,i\n": "line 2 has an empty token", "\"a": "quote"} {
		file := filepath.Join(t.TempDir(), "tokens.csv")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := authn.New(authn.Config{TokenFile: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
}

func BenchmarkCertificate(b *testing.B) {
	ca := newCA(b, "ca")
	a, err := authn.New(authn.Config{ClientCAs: pki.FixedPool(ca), Now: func() time.Time { return start }})
	if err != nil {
		b.Fatal(err)
	}
	r := with(leaf(b, ca, pki.Leaf{CommonName: "admin", Organization: []string{"system:masters"}, Client: true}))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := a.Authenticate(r); !ok {
			b.Fatal(err)
		}
	}
}

// TestAuthoritiesChange: whom a removed authority vouches for is known no longer than until
// its file is read again, however often they came before.
func TestAuthoritiesChange(t *testing.T) {
	old, next := newCA(t, "old"), newCA(t, "new")
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, old.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	pool, err := pki.NewPool("clients", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := authn.New(authn.Config{ClientCAs: pool, Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	one, two := leaf(t, old, pki.Leaf{CommonName: "one", Client: true}), leaf(t, next, pki.Leaf{CommonName: "two", Client: true})
	asked := func() string { return show(a.Authenticate(with(one))) + ", " + show(a.Authenticate(with(two))) }
	const known = " [system:authenticated]"
	if got := asked(); got != "one"+known+", 401" {
		t.Fatal(got)
	}
	if err := os.WriteFile(path, next.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	got := ""
	for end := time.Now().Add(20 * time.Second); got != "401, two"+known && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = asked()
	}
	if got != "401, two"+known {
		t.Error(got)
	}
}

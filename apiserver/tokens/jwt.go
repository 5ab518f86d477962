package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// maxToken bounds what is parsed; a header line of net/http is bounded too.
const maxToken = 64 << 10

var (
	errShape     = errors.New("not a JSON web token")
	errSignature = errors.New("signature is not valid")
)

// algorithms are all that this server signs and accepts.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512}

// claims of both token kinds; the legacy ones have the flat names.
type claims struct {
	Audience   audience `json:"aud,omitempty"`
	Expires    int64    `json:"exp,omitempty"`
	IssuedAt   int64    `json:"iat,omitempty"`
	Issuer     string   `json:"iss"`
	ID         string   `json:"jti,omitempty"`
	Kubernetes *private `json:"kubernetes.io,omitempty"`
	NotBefore  int64    `json:"nbf,omitempty"`
	Subject    string   `json:"sub"`

	LegacyNamespace  string `json:"kubernetes.io/serviceaccount/namespace,omitempty"`
	LegacySecret     string `json:"kubernetes.io/serviceaccount/secret.name,omitempty"`
	LegacyAccount    string `json:"kubernetes.io/serviceaccount/service-account.name,omitempty"`
	LegacyAccountUID string `json:"kubernetes.io/serviceaccount/service-account.uid,omitempty"`
}

type private struct {
	Namespace      string `json:"namespace,omitempty"`
	Node           *ref   `json:"node,omitempty"`
	Pod            *ref   `json:"pod,omitempty"`
	Secret         *ref   `json:"secret,omitempty"`
	ServiceAccount *ref   `json:"serviceaccount,omitempty"`
	WarnAfter      int64  `json:"warnafter,omitempty"`
}

type ref struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

// audience is a list that may be written as one string (RFC 7519).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		var one string
		err := json.Unmarshal(b, &one)
		*a = audience{one}
		return err
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// parts of a token, decoded but not yet trusted.
type parts struct {
	token  *jwt.JSONWebToken
	claims claims
}

func parse(token string) (*parts, error) {
	if len(token) > maxToken {
		return nil, errShape
	}
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errShape, err)
	}
	p := &parts{token: t}
	if err := t.UnsafeClaimsWithoutVerification(&p.claims); err != nil {
		return nil, fmt.Errorf("%w: %w", errShape, err)
	}
	return p, nil
}

// jwk is how tokens and the published key set name a public key: by its hash, so
// that every server names a key alike, and with the one algorithm that it is for.
func jwk(pub crypto.PublicKey) (jose.JSONWebKey, error) {
	k := jose.JSONWebKey{Key: pub, Use: "sig"}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		k.Algorithm = string(jose.RS256)
	case *ecdsa.PublicKey:
		switch pub.Curve.Params().BitSize {
		case 256:
			k.Algorithm = string(jose.ES256)
		case 384:
			k.Algorithm = string(jose.ES384)
		case 521:
			k.Algorithm = string(jose.ES512)
		}
	}
	if k.Algorithm == "" {
		return k, fmt.Errorf("key of type %T is not supported: use RSA or ECDSA", pub)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return k, fmt.Errorf("encoding public key: %w", err)
	}
	sum := sha256.Sum256(der)
	k.KeyID = base64.RawURLEncoding.EncodeToString(sum[:])
	return k, nil
}

type signer struct{ jose.Signer }

func newSigner(key crypto.Signer) (signer, error) {
	k, err := jwk(key.Public())
	if err != nil {
		return signer{}, err
	}
	k.Key = key
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k}, nil)
	return signer{s}, err
}

func (s signer) jwt(c claims) (string, error) { return jwt.Signed(s).Claims(c).Serialize() }

// verifier is a key that tokens may be signed with.
type verifier struct{ jose.JSONWebKey }

func newVerifier(pub crypto.PublicKey) (verifier, error) {
	k, err := jwk(pub)
	return verifier{k}, err
}

// check verifies the signature of p if the key fits its header.
func (v verifier) check(p *parts) error {
	h := p.token.Headers[0]
	if h.Algorithm != v.Algorithm || h.KeyID != "" && h.KeyID != v.KeyID {
		return errSignature
	}
	if err := p.token.Claims(v.Key, &claims{}); err != nil {
		return errSignature
	}
	return nil
}

package tokens

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	_ "crypto/sha512" // ES384 and ES512
)

// maxToken bounds what is parsed; a header line of net/http is bounded too.
const maxToken = 64 << 10

var (
	errShape     = errors.New("not a JSON web token")
	errSignature = errors.New("signature is not valid")
)

var b64 = base64.RawURLEncoding.Strict()

type header struct {
	Algorithm string   `json:"alg"`
	KeyID     string   `json:"kid,omitempty"`
	Critical  []string `json:"crit,omitempty"`
}

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
	header    header
	claims    claims
	signed    string // header and claims as they were sent
	signature []byte
}

func parse(token string) (*parts, error) {
	if len(token) > maxToken {
		return nil, errShape
	}
	h, rest, ok := strings.Cut(token, ".")
	c, sig, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(sig, ".") {
		return nil, errShape
	}
	p := &parts{signed: token[:len(h)+1+len(c)]}
	var err error
	if p.signature, err = b64.DecodeString(sig); err != nil {
		return nil, errShape
	}
	if decode(h, &p.header) != nil || decode(c, &p.claims) != nil {
		return nil, errShape
	}
	return p, nil
}

func decode(segment string, into any) error {
	raw, err := b64.DecodeString(segment)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// algorithm of a public key, its hash and, for ECDSA, the length of r and s.
func algorithm(pub crypto.PublicKey) (name string, h crypto.Hash, size int, err error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return "RS256", crypto.SHA256, 0, nil
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return "ES256", crypto.SHA256, 32, nil
		case 384:
			return "ES384", crypto.SHA384, 48, nil
		case 521:
			return "ES512", crypto.SHA512, 66, nil
		}
	}
	return "", 0, 0, fmt.Errorf("key of type %T is not supported: use RSA or ECDSA", pub)
}

// keyID is the hash of the public key, so every server names a key alike.
func keyID(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("encoding public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return b64.EncodeToString(sum[:]), nil
}

type signer struct {
	key    crypto.Signer
	hash   crypto.Hash
	size   int
	header string // encoded
}

func newSigner(key crypto.Signer) (signer, error) {
	alg, h, size, err := algorithm(key.Public())
	if err != nil {
		return signer{}, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return signer{}, err
	}
	raw, err := json.Marshal(header{Algorithm: alg, KeyID: id})
	return signer{key: key, hash: h, size: size, header: b64.EncodeToString(raw)}, err
}

func (s signer) jwt(c claims) (string, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed := s.header + "." + b64.EncodeToString(raw)
	sum := digest(s.hash, signed)
	var sig []byte
	if s.size == 0 {
		sig, err = s.key.Sign(rand.Reader, sum, s.hash)
	} else {
		sig, err = s.ecdsa(sum)
	}
	if err != nil {
		return "", err
	}
	return signed + "." + b64.EncodeToString(sig), nil
}

// ecdsa signs in the fixed-width form of RFC 7518 instead of ASN.1.
func (s signer) ecdsa(sum []byte) ([]byte, error) {
	k, ok := s.key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key of type %T is not supported", s.key)
	}
	r, v, err := ecdsa.Sign(rand.Reader, k, sum)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 2*s.size)
	r.FillBytes(out[:s.size])
	v.FillBytes(out[s.size:])
	return out, nil
}

func digest(h crypto.Hash, s string) []byte {
	w := h.New()
	w.Write([]byte(s))
	return w.Sum(nil)
}

type verifier struct {
	pub  crypto.PublicKey
	alg  string
	id   string
	hash crypto.Hash
	size int
}

func newVerifier(pub crypto.PublicKey) (verifier, error) {
	alg, h, size, err := algorithm(pub)
	if err != nil {
		return verifier{}, err
	}
	id, err := keyID(pub)
	return verifier{pub: pub, alg: alg, id: id, hash: h, size: size}, err
}

// check verifies the signature of p if the key fits its header.
func (v verifier) check(p *parts) error {
	if p.header.Algorithm != v.alg || p.header.KeyID != "" && p.header.KeyID != v.id || len(p.header.Critical) > 0 {
		return errSignature
	}
	sum := digest(v.hash, p.signed)
	switch k := v.pub.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(k, v.hash, sum, p.signature) == nil {
			return nil
		}
	case *ecdsa.PublicKey:
		if len(p.signature) != 2*v.size {
			return errSignature
		}
		r, s := new(big.Int).SetBytes(p.signature[:v.size]), new(big.Int).SetBytes(p.signature[v.size:])
		if ecdsa.Verify(k, sum, r, s) {
			return nil
		}
	}
	return errSignature
}

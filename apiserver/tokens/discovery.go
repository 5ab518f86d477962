package tokens

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

// Paths of OIDC discovery for service accounts; RBAC guards them (the role
// system:service-account-issuer-discovery).
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	JWKSPath      = "/openid/v1/jwks"
)

type discovery struct {
	Issuer        string   `json:"issuer"`
	JWKS          string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

type jwk struct {
	Use       string `json:"use"`
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Curve     string `json:"crv,omitempty"`
	Algorithm string `json:"alg"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
}

// Handler serves the two discovery documents, both made once.
func (s *Service) Handler() (http.Handler, error) {
	d := discovery{
		Issuer: s.cfg.Issuer, JWKS: s.cfg.JWKSURI,
		ResponseTypes: []string{"id_token"}, SubjectTypes: []string{"public"},
	}
	if d.JWKS == "" {
		d.JWKS = strings.TrimSuffix(s.cfg.Issuer, "/") + JWKSPath
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	for _, v := range s.keys {
		k, err := v.jwk()
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, k)
		if !slices.Contains(d.Algorithms, v.alg) {
			d.Algorithms = append(d.Algorithms, v.alg)
		}
	}
	mux := http.NewServeMux()
	if err := serveJSON(mux, DiscoveryPath, "application/json", d); err != nil {
		return nil, err
	}
	return mux, serveJSON(mux, JWKSPath, "application/jwk-set+json", set)
}

func serveJSON(mux *http.ServeMux, path, contentType string, doc any) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Write(data)
	})
	return nil
}

func (v verifier) jwk() (jwk, error) {
	k := jwk{Use: "sig", ID: v.id, Algorithm: v.alg}
	switch pub := v.pub.(type) {
	case *rsa.PublicKey:
		k.Type = "RSA"
		k.N = b64.EncodeToString(pub.N.Bytes())
		k.E = b64.EncodeToString(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, X, Y
		if err != nil {
			return k, fmt.Errorf("encoding public key: %w", err)
		}
		k.Type, k.Curve = "EC", pub.Curve.Params().Name
		k.X, k.Y = b64.EncodeToString(point[1:1+v.size]), b64.EncodeToString(point[1+v.size:])
	}
	return k, nil
}

package tokens

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
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

// document writes what tells of the keys.
func (s *Service) document(set *keyset) (err error) {
	d := discovery{
		Issuer: s.cfg.Issuer, JWKS: s.cfg.JWKSURI,
		ResponseTypes: []string{"id_token"}, SubjectTypes: []string{"public"},
	}
	if d.JWKS == "" {
		d.JWKS = strings.TrimSuffix(s.cfg.Issuer, "/") + JWKSPath
	}
	var keys jose.JSONWebKeySet
	for _, v := range set.keys {
		keys.Keys = append(keys.Keys, v.JSONWebKey)
		if !slices.Contains(d.Algorithms, v.Algorithm) {
			d.Algorithms = append(d.Algorithms, v.Algorithm)
		}
	}
	if set.discovery, err = json.Marshal(d); err != nil {
		return fmt.Errorf("encoding %s: %w", DiscoveryPath, err)
	}
	if set.jwks, err = json.Marshal(keys); err != nil {
		return fmt.Errorf("encoding %s: %w", JWKSPath, err)
	}
	return nil
}

// Handler serves the two discovery documents, made once for each set of keys.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	s.serve(mux, DiscoveryPath, "application/json", func(set *keyset) []byte { return set.discovery })
	s.serve(mux, JWKSPath, "application/jwk-set+json", func(set *keyset) []byte { return set.jwks })
	return mux
}

func (s *Service) serve(mux *http.ServeMux, path, contentType string, doc func(*keyset) []byte) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Write(doc(s.current()))
	})
}

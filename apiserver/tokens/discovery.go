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

// Handler serves the two discovery documents, both made once.
func (s *Service) Handler() (http.Handler, error) {
	d := discovery{
		Issuer: s.cfg.Issuer, JWKS: s.cfg.JWKSURI,
		ResponseTypes: []string{"id_token"}, SubjectTypes: []string{"public"},
	}
	if d.JWKS == "" {
		d.JWKS = strings.TrimSuffix(s.cfg.Issuer, "/") + JWKSPath
	}
	var set jose.JSONWebKeySet
	for _, v := range s.keys {
		set.Keys = append(set.Keys, v.JSONWebKey)
		if !slices.Contains(d.Algorithms, v.Algorithm) {
			d.Algorithms = append(d.Algorithms, v.Algorithm)
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

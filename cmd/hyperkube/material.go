package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"hyperkube/apiserver/tokens"
	"hyperkube/internal/pki"
)

// Times of leader election that the standard daemons start from.
const (
	leaseDuration = 15 * time.Second
	leaseRenew    = 10 * time.Second
	leaseRetry    = 2 * time.Second
)

// readPool reads the CA certificates that a flag names, also as they are written.
func readPool(flag, path string) (*x509.CertPool, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("--%s: %w", flag, err)
	}
	certs, err := pki.ParseCerts(data)
	if err != nil {
		return nil, nil, fmt.Errorf("--%s %s: %w", flag, path, err)
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, data, nil
}

// readKey reads a private key.
func readKey(flag, path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	key, err := pki.ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, path, err)
	}
	return key, nil
}

// publicKeys are the public halves of what files hold, every one of which has some.
func publicKeys(paths []string, contents [][]byte) ([]crypto.PublicKey, error) {
	var out []crypto.PublicKey
	for i, data := range contents {
		keys, err := pki.ParsePublicKeys(data)
		if err == nil {
			err = tokens.CheckKeys(keys)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
		out = append(out, keys...)
	}
	return out, nil
}

// pairFlags refuses half a pair.
func pairFlags(certFlag, cert, keyFlag, key string) error {
	if (cert == "") != (key == "") {
		return errors.New("--" + certFlag + " and --" + keyFlag + " belong together: set both or none")
	}
	return nil
}

// tlsVersion is the flag --tls-min-version.
type tlsVersion uint16

func (t *tlsVersion) String() string {
	if *t == tls.VersionTLS13 {
		return "VersionTLS13"
	}
	return "VersionTLS12"
}

func (t *tlsVersion) Type() string { return "string" }

// Set refuses versions that are not safe any more.
func (t *tlsVersion) Set(s string) error {
	switch s {
	case "VersionTLS12":
		*t = tls.VersionTLS12
	case "VersionTLS13":
		*t = tls.VersionTLS13
	default:
		return errors.New("VersionTLS12 and VersionTLS13 are supported")
	}
	return nil
}

package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// EnsureCA loads the CA of the two files, or makes it when neither exists.
// A CA is never replaced: that would cut off everybody who trusts it.
func EnsureCA(certFile, keyFile, name string, now time.Time) (*CA, error) {
	_, certErr := os.Stat(certFile)
	_, keyErr := os.Stat(keyFile)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return makeCA(certFile, keyFile, name, now)
	}
	if certErr == nil && errors.Is(keyErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s exists but its key %s does not: put the key there, or remove the certificate to start a new cluster", certFile, keyFile)
	}
	p, err := LoadPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("CA %s: %w: restore both files from a backup, or remove both to start a new cluster", name, err)
	}
	if !p.Cert.IsCA {
		return nil, fmt.Errorf("%s: %w: replace it by a CA certificate", certFile, ErrNotCA)
	}
	if now.After(p.Cert.NotAfter) {
		return nil, fmt.Errorf("%s: %w on %s: remove it and its key to make a new CA, then join the nodes again", certFile, ErrExpired, p.Cert.NotAfter.Format(time.DateOnly))
	}
	return &CA{Cert: p.Cert, Key: p.Key, PEM: p.CertPEM}, nil
}

func makeCA(certFile, keyFile, name string, now time.Time) (*CA, error) {
	ca, err := NewCA(name, now)
	if err != nil {
		return nil, err
	}
	key, err := encodeKey(ca.Key)
	if err != nil {
		return nil, err
	}
	if err := WriteFile(keyFile, key, 0o600); err != nil {
		return nil, err
	}
	return ca, WriteFile(certFile, ca.PEM, 0o644)
}

// Ensure loads the leaf of the two files, issuing it when it is missing or no
// longer good. issued says whether new files were written.
func (ca *CA) Ensure(certFile, keyFile string, l Leaf, now time.Time) (p *Pair, issued bool, err error) {
	p, err = LoadPair(certFile, keyFile)
	if errors.Is(err, fs.ErrPermission) {
		return nil, false, fmt.Errorf("%w: run as the owner of the file (root)", err)
	}
	if err == nil && ca.Renew(p.Cert, l, now) == "" {
		return p, false, nil
	}
	if p, err = ca.Issue(l, now); err != nil {
		return nil, false, err
	}
	if err = WriteFile(keyFile, p.KeyPEM, 0o600); err != nil {
		return nil, false, err
	}
	if err = WriteFile(certFile, p.CertPEM, 0o644); err != nil {
		return nil, false, err
	}
	return p, true, nil
}

// Renew says why cert must be issued anew, or "" when it is good for l.
func (ca *CA) Renew(cert *x509.Certificate, l Leaf, now time.Time) string {
	switch life := cert.NotAfter.Sub(cert.NotBefore); {
	case now.After(cert.NotAfter.Add(-life / 3)):
		return "expires " + cert.NotAfter.Format(time.DateOnly)
	case now.Before(cert.NotBefore):
		return "not valid before " + cert.NotBefore.Format(time.DateTime)
	case cert.CheckSignatureFrom(ca.Cert) != nil:
		return "signed by another CA"
	case cert.Subject.CommonName != l.CommonName:
		return "common name " + cert.Subject.CommonName
	case !sameSet(cert.Subject.Organization, l.Organization):
		return "organizations changed"
	}
	for _, n := range l.DNSNames {
		if !slices.Contains(cert.DNSNames, n) {
			return "lacks name " + n
		}
	}
	for _, ip := range l.IPs {
		if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
			return "lacks address " + ip.String()
		}
	}
	for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageServerAuth: l.Server, x509.ExtKeyUsageClientAuth: l.Client} {
		if want && !slices.Contains(cert.ExtKeyUsage, usage) {
			return "lacks a usage"
		}
	}
	return ""
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, s := range a {
		if !slices.Contains(b, s) {
			return false
		}
	}
	return true
}

// EnsureSigningKey loads or makes the key that signs service-account tokens and
// keeps its public half beside it.
func EnsureSigningKey(keyFile, pubFile string) (crypto.Signer, error) {
	data, err := os.ReadFile(keyFile)
	var key crypto.Signer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("generating service-account key: %w", err)
		}
		if data, err = encodeKey(key); err != nil {
			return nil, err
		}
		if err = WriteFile(keyFile, data, 0o600); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("reading service-account key: %w", err)
	default:
		if key, err = ParseKey(data); err != nil {
			return nil, fmt.Errorf("%s: %w: restore it from a backup, or remove it to make a new key (every service-account token becomes invalid)", keyFile, err)
		}
	}
	return key, ensurePublic(pubFile, key)
}

func ensurePublic(pubFile string, key crypto.Signer) error {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding public key: %w", err)
	}
	want := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if have, err := os.ReadFile(pubFile); err == nil {
		keys, err := ParsePublicKeys(have)
		if err == nil && slices.ContainsFunc(keys, func(k crypto.PublicKey) bool { return samePublic(k, key.Public()) }) {
			return nil
		}
	}
	return WriteFile(pubFile, want, 0o644)
}

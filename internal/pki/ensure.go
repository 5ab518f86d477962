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

	"hyperkube/internal/regular"
)

// Making says what to do about a key that is not there or cannot be used any more. A key
// that others know is never replaced unasked: that would cut off everybody who trusts it.
type Making struct {
	Known   bool // it was made before: missing, it is lost
	Replace bool // make a lost one anew; the files of the old are set aside
	Now     time.Time
}

// SigningKey is what a LostError calls the key that signs service-account tokens.
const SigningKey = "service-account key"

// LostError is a key that others know and that cannot be used.
type LostError struct {
	What string // "CA kubernetes", SigningKey
	File string
	Err  error
}

// Error names the file. Who knows how to go on adds it.
func (e *LostError) Error() string { return fmt.Sprintf("%s %s: %v", e.What, e.File, e.Err) }
func (e *LostError) Unwrap() error { return e.Err }

// EnsureCA loads the CA of the two files, or makes it when it never was or is to be replaced.
func EnsureCA(certFile, keyFile, name string, m Making) (*CA, error) {
	p, err := LoadPair(certFile, keyFile)
	if err == nil {
		err = usableCA(p, m.Now)
	}
	if err == nil {
		return &CA{Cert: p.Cert, Key: p.Key, PEM: p.CertPEM}, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: run as the owner of the file (root)", err)
	}
	// A process that was killed while making it left the key alone, which nobody knows.
	fresh := !m.Known && missing(certFile)
	if !fresh && !m.Replace {
		return nil, &LostError{"CA " + name, certFile, err}
	}
	if err := setAside(m.Now, certFile, keyFile); err != nil {
		return nil, err
	}
	return makeCA(certFile, keyFile, name, m.Now)
}

func usableCA(p *Pair, now time.Time) error {
	if !p.Cert.IsCA {
		return ErrNotCA
	}
	if now.After(p.Cert.NotAfter) {
		return fmt.Errorf("%w on %s", ErrExpired, p.Cert.NotAfter.Format(time.DateOnly))
	}
	if now.Before(p.Cert.NotBefore) {
		return fmt.Errorf("%w: it is from %s on, and this machine's clock says %s, which is to be set right first; if it is right", ErrNotYet,
			p.Cert.NotBefore.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// setAside keeps what is replaced, for whoever finds out later what it was good for.
func setAside(now time.Time, files ...string) error {
	for _, f := range files {
		err := os.Rename(f, f+".before-"+now.UTC().Format("20060102T150405"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("setting the old key aside: %w", err)
		}
	}
	return nil
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

// due says that the certificate in a file is one of this CA's that must be issued anew.
func (ca *CA) due(certFile string, l Leaf, now time.Time) bool {
	data, err := os.ReadFile(certFile)
	if err != nil {
		return false
	}
	cert, err := ParseCert(data)
	return err == nil && ca.ends(cert, l, now)
}

func (ca *CA) ends(cert *x509.Certificate, l Leaf, now time.Time) bool {
	return cert.CheckSignatureFrom(ca.Cert) == nil && ca.Renew(cert, l, now) != ""
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

// EnsureSigningKey loads the key that signs service-account tokens, or makes it when it
// never was or is to be replaced, and keeps its public half beside it.
func EnsureSigningKey(keyFile, pubFile string, m Making) (crypto.Signer, error) {
	data, err := regular.ReadFile(keyFile)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: run as the owner of the file (root)", err)
	}
	var key crypto.Signer
	if err == nil {
		key, err = ParseKey(data)
	}
	if err == nil {
		return key, ensurePublic(pubFile, key)
	}
	fresh := !m.Known && missing(keyFile) && missing(pubFile)
	if !fresh && !m.Replace {
		return nil, &LostError{SigningKey, keyFile, err}
	}
	if err := setAside(m.Now, keyFile, pubFile); err != nil {
		return nil, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("generating service-account key: %w", err)
	}
	if data, err = encodeKey(key); err != nil {
		return nil, err
	}
	if err = WriteFile(keyFile, data, 0o600); err != nil {
		return nil, err
	}
	return key, ensurePublic(pubFile, key)
}

func ensurePublic(pubFile string, key crypto.Signer) error {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding public key: %w", err)
	}
	want := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if have, err := regular.ReadFile(pubFile); err == nil {
		keys, err := ParsePublicKeys(have)
		if err == nil && slices.ContainsFunc(keys, func(k crypto.PublicKey) bool { return samePublic(k, key.Public()) }) {
			return nil
		}
	}
	return WriteFile(pubFile, want, 0o644)
}

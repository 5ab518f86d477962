package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"hyperkube/internal/regular"
)

// Faults of files; compare with errors.Is.
var (
	ErrNotPEM   = errors.New("no PEM block of the expected type in it")
	ErrNotCA    = errors.New("certificate is not a CA")
	ErrExpired  = errors.New("certificate has expired")
	ErrNotYet   = errors.New("certificate is not valid yet")
	ErrMismatch = errors.New("certificate and key do not belong together")
)

// ParseCert reads the first certificate of PEM data.
func ParseCert(data []byte) (*x509.Certificate, error) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil, ErrNotPEM
		}
		if b.Type == "CERTIFICATE" {
			return x509.ParseCertificate(b.Bytes)
		}
	}
}

// ParseCerts reads all certificates of a bundle; a bundle without one is an error.
func ParseCerts(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, ErrNotPEM
	}
	return out, nil
}

// ParseKey reads the first private key of PEM data: PKCS#8, PKCS#1 or SEC 1.
func ParseKey(data []byte) (crypto.Signer, error) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return nil, ErrNotPEM
		}
		switch b.Type {
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(b.Bytes)
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
			if err != nil {
				return nil, err
			}
			s, ok := k.(crypto.Signer)
			if !ok {
				return nil, fmt.Errorf("key of type %T cannot sign", k)
			}
			return s, nil
		}
	}
}

// ParsePublicKeys reads every public key of PEM data: PKIX and PKCS#1 public
// keys, certificates and private keys, as --service-account-key-file allows.
func ParsePublicKeys(data []byte) ([]crypto.PublicKey, error) {
	var out []crypto.PublicKey
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			break
		}
		k, err := publicKey(b)
		if err != nil {
			return nil, err
		}
		if k != nil {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, ErrNotPEM
	}
	return out, nil
}

func publicKey(b *pem.Block) (crypto.PublicKey, error) {
	switch b.Type {
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, err
		}
		switch k.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey:
			return k, nil
		}
		return nil, fmt.Errorf("public key of type %T is not supported: use RSA or ECDSA", k)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(b.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	case "EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY":
		k, err := ParseKey(pem.EncodeToMemory(b))
		if err != nil {
			return nil, err
		}
		return k.Public(), nil
	}
	return nil, nil
}

// LoadPair reads a certificate and its key and checks that they match.
func LoadPair(certFile, keyFile string) (*Pair, error) {
	c, err := regular.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("reading certificate: %w", err)
	}
	k, err := regular.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	p, err := parsePair(c, k)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
	}
	return p, nil
}

func parsePair(c, k []byte) (*Pair, error) {
	cert, err := ParseCert(c)
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(k)
	if err != nil {
		return nil, err
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return nil, ErrMismatch
	}
	return &Pair{CertPEM: c, KeyPEM: k, Cert: cert, Key: key}, nil
}

func samePublic(a, b crypto.PublicKey) bool {
	e, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && e.Equal(b)
}

package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"

	"hyperkube/internal/trouble"
)

// Pool is certificate authorities whose file may change. A nil Pool has none. The pool of
// Certs is another one exactly when the authorities are others.
type Pool struct {
	files *Reread[*bundle]
	fixed *bundle
}

type bundle struct {
	certs *x509.CertPool
	list  []*x509.Certificate
	pem   []byte
}

// NewPool reads the authorities of a file, which must have some now.
func NewPool(what, path string, told *trouble.Teller) (*Pool, error) {
	var last *bundle
	parse := func(contents [][]byte) (*bundle, error) {
		if last != nil && bytes.Equal(last.pem, contents[0]) {
			return last, nil
		}
		b, err := newBundle(contents[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		last = b
		return b, nil
	}
	files, err := NewReread(what, []string{path}, parse, told)
	if err != nil {
		return nil, err
	}
	return &Pool{files: files}, nil
}

// FixedPool is authorities that stay.
func FixedPool(cas ...*CA) *Pool {
	b := &bundle{certs: x509.NewCertPool()}
	for _, ca := range cas {
		b.certs.AddCert(ca.Cert)
		b.list, b.pem = append(b.list, ca.Cert), append(b.pem, ca.PEM...)
	}
	return &Pool{fixed: b}
}

func newBundle(pem []byte) (*bundle, error) {
	list, err := ParseCerts(pem)
	if err != nil {
		return nil, err
	}
	b := &bundle{certs: x509.NewCertPool(), list: list, pem: pem}
	for _, c := range list {
		b.certs.AddCert(c)
	}
	return b, nil
}

func (p *Pool) get() *bundle {
	switch {
	case p == nil:
		return &bundle{}
	case p.files != nil:
		return p.files.Get()
	}
	return p.fixed
}

// Certs are the authorities now; nil for a nil Pool.
func (p *Pool) Certs() *x509.CertPool { return p.get().certs }

// PEM is what their file holds.
func (p *Pool) PEM() []byte { return p.get().pem }

// WithClientCAs is conf with the authorities of all pools as its ClientCAs, those that there
// are at each handshake. Sessions that a removed one vouched for are not resumed: package
// tls compares them with the authorities of the handshake.
func WithClientCAs(conf *tls.Config, pools ...*Pool) *tls.Config {
	var (
		mu   sync.Mutex
		of   = make([]*bundle, len(pools))
		last *tls.Config
	)
	conf = conf.Clone()
	now := func() *tls.Config {
		mu.Lock()
		defer mu.Unlock()
		same := last != nil
		for i, p := range pools {
			if b := p.get(); b != of[i] && p != nil {
				of[i], same = b, false
			}
		}
		if same {
			return last
		}
		next := conf.Clone()
		next.GetConfigForClient, next.ClientCAs = nil, x509.NewCertPool()
		for _, b := range of {
			if b != nil {
				for _, c := range b.list {
					next.ClientCAs.AddCert(c)
				}
			}
		}
		last = next
		return last
	}
	out := conf.Clone()
	out.ClientCAs = now().ClientCAs
	out.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return now(), nil }
	return out
}

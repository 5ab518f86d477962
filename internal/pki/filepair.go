package pki

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// FilePair is a certificate whose files may be renewed under a process that runs:
// they are read again when a handshake finds them changed. It looks at most once
// a second and never when nobody connects; files that cannot be read leave the
// pair in use that was.
type FilePair struct {
	what, certFile, keyFile string
	log                     *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time // the newer of the files' times
	pair    *tls.Certificate
}

// NewFilePair reads the files, which must hold a pair now. what names it in
// errors and in the log.
func NewFilePair(what, certFile, keyFile string, log *slog.Logger) (*FilePair, error) {
	p := &FilePair{what: what, certFile: certFile, keyFile: keyFile, log: log}
	if _, err := p.Get(); err != nil {
		return nil, err
	}
	return p, nil
}

// Get is the pair as the files hold it.
func (p *FilePair) Get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pair != nil && time.Since(p.looked) < time.Second {
		return p.pair, nil
	}
	p.looked = time.Now()
	changed, err := newest(p.certFile, p.keyFile)
	if err == nil && (p.pair == nil || !changed.Equal(p.changed)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(p.certFile, p.keyFile); err == nil {
			p.pair, p.changed = &pair, changed
		}
	}
	switch {
	case err == nil:
		return p.pair, nil
	case p.pair == nil:
		return nil, fmt.Errorf("%s: %w", p.what, err)
	}
	p.log.Error("reading a certificate again failed; the old one stays in use", "certificate", p.what, "err", err)
	return p.pair, nil
}

// Server is Get for tls.Config.GetCertificate.
func (p *FilePair) Server(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.Get() }

// Client is Get for tls.Config.GetClientCertificate.
func (p *FilePair) Client(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.Get() }

// newest is when the files changed last.
func newest(files ...string) (time.Time, error) {
	var t time.Time
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			return t, err
		}
		if st.ModTime().After(t) {
			t = st.ModTime()
		}
	}
	return t, nil
}

package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLS says with which certificate the server answers. The files are read again
// when they change, without a restart.
type TLS struct {
	CertFile, KeyFile string
	// Certificate is used instead of the files.
	Certificate *tls.Certificate
	// ClientCAs tell clients which certificates are welcome. Verification is the
	// authenticator's.
	ClientCAs  *x509.CertPool
	MinVersion uint16 // 0: TLS 1.2
}

func (t TLS) config(log *slog.Logger) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: t.MinVersion, ClientCAs: t.ClientCAs, ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"},
		// Small first records help browsers on slow links and cost us system calls.
		DynamicRecordSizingDisabled: true,
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if t.Certificate != nil {
		c.Certificates = []tls.Certificate{*t.Certificate}
		return c, nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return nil, errors.New("api server: TLS needs a certificate and a key")
	}
	pair := &keyPair{certFile: t.CertFile, keyFile: t.KeyFile, log: log}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	c.GetCertificate = pair.get
	return c, nil
}

// keyPair reads its files again when a handshake finds them changed; it looks at
// most once a second and never when nobody connects.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time // the newer of the files' times
	pair    *tls.Certificate
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pair != nil && time.Since(k.looked) < time.Second {
		return k.pair, nil
	}
	k.looked = time.Now()
	changed, err := newest(k.certFile, k.keyFile)
	if err == nil && (k.pair == nil || !changed.Equal(k.changed)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(k.certFile, k.keyFile); err == nil {
			k.pair, k.changed = &pair, changed
		}
	}
	if err == nil {
		return k.pair, nil
	}
	if k.pair == nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	k.log.Error("reading the serving certificate again failed; the old one stays in use", "err", err)
	return k.pair, nil
}

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

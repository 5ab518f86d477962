package apiserver

import (
	"crypto/tls"
	"errors"
	"log/slog"

	"hyperkube/internal/pki"
)

// TLS says with which certificate the server answers. The files are read again
// when they change, without a restart.
type TLS struct {
	CertFile, KeyFile string
	// Certificate is used instead of the files.
	Certificate *tls.Certificate
	// ClientCAs tell clients which certificates are welcome. Verification is the
	// authenticator's.
	ClientCAs  []*pki.Pool
	MinVersion uint16 // 0: TLS 1.2
}

func (t TLS) config(log *slog.Logger) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: t.MinVersion, ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"},
		// Small first records help browsers on slow links and cost us system calls.
		DynamicRecordSizingDisabled: true,
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if t.Certificate != nil {
		c.Certificates = []tls.Certificate{*t.Certificate}
		return t.welcome(c), nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return nil, errors.New("api server: TLS needs a certificate and a key")
	}
	pair, err := pki.NewFilePair("serving certificate", t.CertFile, t.KeyFile, log)
	if err != nil {
		return nil, err
	}
	c.GetCertificate = pair.Server
	return t.welcome(c), nil
}

func (t TLS) welcome(c *tls.Config) *tls.Config {
	if len(t.ClientCAs) == 0 {
		return c
	}
	return pki.WithClientCAs(c, t.ClientCAs...)
}

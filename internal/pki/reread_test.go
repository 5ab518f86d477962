package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"hyperkube/internal/trouble"
)

// TestPoolRereads: a new file is in use within a second or two, one that is no good never is,
// and what was good before stays; who asks is told, and it is counted.
func TestPoolRereads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, err := NewCA("old", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		next, err := NewCA("new", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "ca.crt")
		write := func(data []byte) {
			t.Helper()
			if err := os.WriteFile(path+".new", data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lookEvery)
		}
		write(old.PEM)
		var said bytes.Buffer
		count := trouble.Metric(nil)
		p, err := NewPool("--client-ca-file", path, trouble.New(slog.New(slog.NewTextHandler(&said, nil)), count, "reading it"))
		if err != nil {
			t.Fatal(err)
		}
		first := p.Certs()
		trusts := func(what string, ca *CA) {
			t.Helper()
			if !p.Certs().Equal(ca.Pool()) || !bytes.Equal(p.PEM(), ca.PEM) {
				t.Errorf("%s: %s is not what is trusted", what, ca.Cert.Subject.CommonName)
			}
		}
		trusts("at first", old)
		write(old.PEM)
		if p.Certs() != first {
			t.Error("another file of the same content is another pool")
		}
		for what, bad := range map[string][]byte{"empty": nil, "no certificate": []byte("hello"), "half": old.PEM[:len(old.PEM)/2], "too large": bytes.Repeat(old.PEM, fileMax/len(old.PEM)+1)} {
			write(bad)
			trusts(what, old)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		trusts("no file", old)
		var m dto.Metric
		if err := count.WithLabelValues("reading it").Write(&m); err != nil || m.GetCounter().GetValue() != 5 || bytes.Count(said.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%v failures are counted, %v, and told:\n%s", m.GetCounter().GetValue(), err, said.String())
		}
		write(next.PEM)
		trusts("a new one", next)
		if _, err := NewPool("x", path+".none", nil); !errors.Is(err, os.ErrNotExist) {
			t.Error("at the start no file is no pool:", err)
		}
	})
}

// TestClientCAsOfTheHandshake: who shows a certificate is judged by the authorities that there
// are then, also when a session is resumed.
func TestClientCAsOfTheHandshake(t *testing.T) {
	ca, err := NewCA("old", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	next, err := NewCA("new", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	pool, err := NewPool("clients", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(ca *CA, l Leaf) tls.Certificate {
		t.Helper()
		made, err := ca.Issue(l, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c, err := tls.X509KeyPair(made.CertPEM, made.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	server := WithClientCAs(&tls.Config{Certificates: []tls.Certificate{pair(ca, Leaf{CommonName: "s", DNSNames: []string{"s"}, Server: true})}, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}, pool)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	client := func(ca *CA) *tls.Config {
		c := pair(ca, Leaf{CommonName: "c", Client: true})
		return &tls.Config{RootCAs: roots, ServerName: "s", ClientSessionCache: tls.NewLRUClientSessionCache(4),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }}
	}
	meet := func(conf *tls.Config) (resumed bool, err error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		b, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		a, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		for _, c := range []net.Conn{a, b} {
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		s, c := tls.Server(a, server), tls.Client(b, conf)
		done := make(chan error, 1)
		go func() {
			err := s.Handshake()
			if err == nil {
				_, err = s.Write([]byte("x"))
			}
			a.Close()
			done <- err
		}()
		if _, err := c.Read(make([]byte, 1)); err != nil {
			b.Close()
			<-done
			return false, err
		}
		return c.ConnectionState().DidResume, <-done
	}
	of, new := client(ca), client(next)
	if _, err := meet(of); err != nil {
		t.Fatal(err)
	}
	if resumed, err := meet(of); err != nil || !resumed {
		t.Fatal("no session was resumed:", err)
	}
	if _, err := meet(new); err == nil {
		t.Error("a client of another authority came in")
	}
	if err := os.WriteFile(path, next.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	pool.files.mu.Lock()
	pool.files.looked = time.Time{}
	pool.files.mu.Unlock()
	if _, err := meet(of); err == nil {
		t.Error("a client of a removed authority came in")
	}
	if _, err := meet(new); err != nil {
		t.Error("a client of the new authority:", err)
	}
}

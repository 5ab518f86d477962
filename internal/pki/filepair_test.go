package pki

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFilePair: a renewed certificate is used once its files have changed; a
// broken one is not, and a missing one is an error at the start.
func TestFilePair(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	log := slog.New(slog.DiscardHandler)
	if _, err := NewFilePair("x", certFile, keyFile, log); err == nil {
		t.Fatal("a missing certificate was taken")
	}
	ca, err := NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	renew := func(age time.Duration) []byte {
		pair, err := ca.Issue(Leaf{CommonName: "x", Client: true}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{certFile: pair.CertPEM, keyFile: pair.KeyPEM} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
		return pair.Cert.Raw
	}
	first := renew(time.Hour)
	p, err := NewFilePair("x", certFile, keyFile, log)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, want []byte) {
		t.Helper()
		p.looked = time.Time{}
		server, err := p.Server(nil)
		if err != nil || !bytes.Equal(server.Certificate[0], want) {
			t.Errorf("%s: another certificate is served, %v", what, err)
		}
		if client, err := p.Client(nil); err != nil || client != server {
			t.Errorf("%s: another certificate is shown, %v", what, err)
		}
	}
	check("first", first)
	second := renew(time.Minute)
	check("renewed", second)
	if err := os.WriteFile(keyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("broken", second)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	check("gone", second)
}

package backend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hyperkube/store/backend"
	"hyperkube/store/etcd"
)

// TestBackends runs one suite against every way to reach etcd.
func TestBackends(t *testing.T) {
	ways := map[string]func(*testing.T) backend.Backend{
		"embedded":  func(t *testing.T) backend.Backend { return embedded(t, etcd.Config{}) },
		"listening": func(t *testing.T) backend.Backend { return embedded(t, etcd.Config{ListenClient: socket(t)}) },
		"unix":      overSocket,
		"tls":       overTLS,
	}
	for name, open := range ways {
		t.Run(name, func(t *testing.T) { suite(t, open) })
	}
}

func start(t *testing.T, c etcd.Config) *etcd.Server {
	t.Helper()
	c.Dir, c.Ephemeral = t.TempDir(), true
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := etcd.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func embedded(t *testing.T, c etcd.Config) backend.Backend {
	s := start(t, c)
	return backend.NewEmbedded(s, s.Exclusive(), s.Sole())
}

func socket(t *testing.T) []string {
	return []string{"unix://" + filepath.Join(t.TempDir(), "s")}
}

func dial(t *testing.T, servers []string, c *tls.Config) backend.Backend {
	b, err := backend.Dial(t.Context(), backend.DialOptions{Servers: servers, TLS: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func overSocket(t *testing.T) backend.Backend {
	urls := socket(t)
	start(t, etcd.Config{ListenClient: urls})
	return dial(t, urls, nil)
}

func overTLS(t *testing.T) backend.Backend {
	files, config := identity(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	urls := []string{"https://" + l.Addr().String()}
	l.Close()
	start(t, etcd.Config{ListenClient: urls, ClientTLS: files})
	return dial(t, urls, config)
}

// identity makes a self-signed certificate that serves as CA, server and client.
func identity(t *testing.T) (etcd.TLS, *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "etcd"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := etcd.TLS{CertFile: dir + "/crt", KeyFile: dir + "/key", CAFile: dir + "/crt"}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(files.CertFile, crt, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(crt)
	return files, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
}

func suite(t *testing.T, open func(*testing.T) backend.Backend) {
	b := open(t)
	ctx := t.Context()
	write := func(key, value string, expect int64) (int64, bool) {
		t.Helper()
		rev, ok, err := b.Write(ctx, backend.Write{Key: key, Value: []byte(value), Expect: expect})
		if err != nil {
			t.Fatal(err)
		}
		return rev, ok
	}
	t.Run("guards", func(t *testing.T) {
		r1, ok := write("/g/a", "1", 0)
		if !ok || r1 == 0 {
			t.Fatal("create", r1, ok)
		}
		if rev, ok := write("/g/a", "2", 0); ok || rev < r1 {
			t.Fatal("second create", rev, ok)
		}
		r2, ok := write("/g/a", "2", r1)
		if !ok || r2 != r1+1 {
			t.Fatal("update", r2, ok)
		}
		if _, ok := write("/g/a", "3", r1); ok {
			t.Fatal("stale update won")
		}
		if _, ok, err := b.Remove(ctx, "/g/a", r1); ok || err != nil {
			t.Fatal("stale delete", ok, err)
		}
		if rev, ok, err := b.Remove(ctx, "/g/a", r2); !ok || err != nil || rev != r2+1 {
			t.Fatal("delete", rev, ok, err)
		}
		if _, ok, err := b.Remove(ctx, "/g/a", r2); ok || err != nil {
			t.Fatal("delete of nothing", ok, err)
		}
	})
	t.Run("range", func(t *testing.T) { suiteRange(t, b, write) })
	t.Run("watch", func(t *testing.T) { suiteWatch(t, b, write) })
	t.Run("lease", func(t *testing.T) { suiteLease(t, b) })
	t.Run("revision", func(t *testing.T) { suiteRevision(t, b, write) })
	t.Run("compaction", func(t *testing.T) { suiteCompaction(t, b, write) })
}

type writer func(key, value string, expect int64) (int64, bool)

func suiteRange(t *testing.T, b backend.Backend, write writer) {
	var last int64
	for i := range 10 {
		last, _ = write(fmt.Sprintf("/r/%d", i), "v", 0)
	}
	write("/r/5", "new", last-4)
	p, err := b.Range(t.Context(), backend.Range{Start: "/r/", End: "/r0", Revision: last, Limit: 4})
	if err != nil || len(p.KVs) != 4 || !p.More || p.Revision <= last {
		t.Fatal(p, err)
	}
	p, err = b.Range(t.Context(), backend.Range{Start: "/r/3\x00", End: "/r0", Revision: last})
	if err != nil || len(p.KVs) != 6 || p.More || string(p.KVs[1].Value) != "v" {
		t.Fatal(p, err)
	}
	p, err = b.Range(t.Context(), backend.Range{Start: "/r/", End: "/r0"})
	if err != nil || len(p.KVs) != 10 || string(p.KVs[5].Value) != "new" || p.KVs[5].Revision != last+1 {
		t.Fatal(p, err)
	}
}

// collect reads a watch until it has n events.
func collect(t *testing.T, w backend.Watch, n int) (out []backend.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(out) < n {
		evs, err := w.Next(ctx)
		if err != nil {
			t.Fatal("after", len(out), "events:", err)
		}
		out = append(out, evs.Events...)
		if len(evs.Events) > 0 && evs.Revision < evs.Events[len(evs.Events)-1].Revision {
			t.Fatal("revision of the batch", evs.Revision)
		}
	}
	return out
}

func suiteWatch(t *testing.T, b backend.Backend, write writer) {
	r1, _ := write("/w/a", "1", 0)
	w, err := b.Watch(t.Context(), "/w/", "/w0", r1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	r2, _ := write("/w/b", "2", 0)
	write("/x", "not ours", 0)
	r4, _, err := b.Remove(t.Context(), "/w/a", r1)
	if err != nil {
		t.Fatal(err)
	}
	evs := collect(t, w, 3)
	for i, want := range []struct {
		key     string
		rev     int64
		deleted bool
	}{{"/w/a", r1, false}, {"/w/b", r2, false}, {"/w/a", r4, true}} {
		if got := evs[i]; string(got.Key) != want.key || got.Revision != want.rev || got.Deleted != want.deleted {
			t.Errorf("event %d: %+v, want %+v", i, got, want)
		}
	}
	for i := range 500 { // more than etcd buffers
		write(fmt.Sprintf("/w/many-%d", i), "v", 0)
	}
	last := r4
	for _, ev := range collect(t, w, 500) {
		if ev.Revision <= last {
			t.Fatal("order", ev.Revision, last)
		}
		last = ev.Revision
	}
	far, _ := write("/y", "not ours", 0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond) // a watch that is behind does not answer
	defer again.Stop()
	go func() {
		for {
			if w.Progress(ctx) != nil {
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		evs, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if evs.Revision >= far {
			break
		}
	}
}

func suiteLease(t *testing.T, b backend.Backend) {
	lease, err := b.Grant(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	rev, ok, err := b.Write(t.Context(), backend.Write{Key: "/l/a", Value: []byte("v"), Lease: lease})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	w, err := b.Watch(t.Context(), "/l/", "/l0", rev+1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if evs := collect(t, w, 1); !evs[0].Deleted {
		t.Fatal(evs)
	}
}

func suiteRevision(t *testing.T, b backend.Backend, write writer) {
	for i := range 20 {
		want, _ := write(fmt.Sprintf("/v/%d", i), "v", 0)
		got, err := b.Revision(t.Context())
		if err != nil || got != want {
			t.Fatal(got, want, err)
		}
		for range 3 {
			if got, ok := b.Current(); ok && got != 0 && got != want {
				t.Fatal("current", got, want)
			}
		}
	}
}

func suiteCompaction(t *testing.T, b backend.Backend, write writer) {
	first, _ := write("/c/a", "1", 0)
	last, _ := write("/c/a", "2", first)
	if err := b.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Range(t.Context(), backend.Range{Start: "/c/", End: "/c0", Revision: first}); !errors.Is(err, backend.ErrCompacted) {
		t.Error("range", err)
	}
	w, err := b.Watch(t.Context(), "/c/", "/c0", first)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := w.Next(ctx); !errors.Is(err, backend.ErrCompacted) {
		t.Error("watch", err)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if _, err := w.Next(ended); err == nil {
		t.Error("next after the end")
	}
}

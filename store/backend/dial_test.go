package backend_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"hyperkube/store/backend"
	"hyperkube/store/etcd"
)

// TestDialTellsTheCause: "context deadline exceeded" helps nobody.
func TestDialTellsTheCause(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := free.Addr().String()
	free.Close()
	files, good := identity(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := "https://" + l.Addr().String()
	l.Close()
	start(t, etcd.Config{ListenClient: []string{secure}, ClientTLS: files})
	stranger, _ := identity(t)
	pair, err := tls.LoadX509KeyPair(stranger.CertFile, stranger.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	other := good.Clone()
	other.Certificates = []tls.Certificate{pair}
	for name, c := range map[string]struct {
		server string
		tls    *tls.Config
		want   string
	}{
		"nobody listens":    {"http://" + gone, nil, "connection refused"},
		"unknown CA":        {secure, &tls.Config{}, "x509: certificate signed by unknown authority"},
		"no certificate":    {secure, &tls.Config{RootCAs: good.RootCAs}, "tls: "},
		"another's":         {secure, other, "tls: "},
		"http with TLS set": {strings.Replace(secure, "https", "http", 1), good, "not https"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := backend.Dial(ctx, backend.DialOptions{Servers: []string{c.server}, TLS: c.tls})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// valve passes bytes between its port and a server until it is shut: then
// connections stay, and nothing comes through, as with a process that is frozen.
type valve struct {
	mu   sync.Mutex
	open *sync.Cond
	shut bool
}

func newValve(t *testing.T, server string) (v *valve, address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v = &valve{}
	v.open = sync.NewCond(&v.mu)
	t.Cleanup(func() { l.Close(); v.set(false) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", server)
			if err != nil {
				c.Close()
				continue
			}
			go v.pass(c, s)
			go v.pass(s, c)
		}
	}()
	return v, l.Addr().String()
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = shut
	v.open.Broadcast()
}

func (v *valve) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		v.mu.Lock()
		for v.shut {
			v.open.Wait()
		}
		v.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil && err != io.EOF || n == 0 {
			return
		}
	}
}

// TestFrozenMember: one of the servers takes requests and answers none. Reads find
// the other one.
func TestFrozenMember(t *testing.T) {
	files, config := identity(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	start(t, etcd.Config{ListenClient: []string{"https://" + address}, ClientTLS: files})
	v, frozen := newValve(t, address)
	b := dial(t, []string{"https://" + address, "https://" + frozen}, config)
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		_, err := b.Revision(ctx)
		return err
	}
	for range 20 { // until both are connected
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	v.set(true)
	for range 4 {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
}

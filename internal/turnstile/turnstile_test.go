package turnstile

import (
	"io"
	"log/slog"
	"net"
	"testing"
)

// fake is a connection from an address.
type fake struct {
	net.Conn
	from   string
	closed bool
}

func (f *fake) Close() error         { f.closed = true; return nil }
func (f *fake) RemoteAddr() net.Addr { a, _ := net.ResolveTCPAddr("tcp", f.from+":1"); return a }

func TestGate(t *testing.T) {
	g := New(4, slog.New(slog.NewTextHandler(io.Discard, nil)))
	take := func(from string) (*fake, *conn) {
		f := &fake{from: from}
		return f, g.take(f)
	}
	oldest, _ := take("10.0.0.1")
	_, middle := take("10.0.0.1")
	_, _ = take("10.0.0.1")
	newest, _ := take("10.0.0.1")
	if f, c := take("10.0.0.1"); c != nil || !f.closed {
		t.Fatal("a source that has everything got one more")
	}
	if _, c := take("10.0.0.2"); c == nil || !newest.closed || oldest.closed {
		t.Fatalf("a newcomer: taken %v, the flood's newest closed %v, its oldest %v", c != nil, newest.closed, oldest.closed)
	}
	if g.all != 4 || len(g.held) != 2 {
		t.Fatalf("%d held from %d sources", g.all, len(g.held))
	}
	// Two each: who asks is the one with the most.
	if _, c := take("::ffff:10.0.0.2"); c == nil {
		t.Fatal("a source with less than another got none")
	}
	if _, c := take("10.0.0.2"); c != nil {
		t.Fatal("an even share was exceeded")
	}
	for range 2 { // closing twice makes room once
		_ = middle.Close()
	}
	if g.all != 3 {
		t.Fatalf("%d held after one of 4 was closed twice", g.all)
	}
	if _, c := take("10.0.0.3"); c == nil {
		t.Fatal("no room though one was closed")
	}
	for _, list := range g.held {
		for _, c := range append([]*conn{}, list...) {
			_ = c.Close()
		}
	}
	if g.all != 0 || len(g.held) != 0 {
		t.Fatalf("%d of %d sources remain", g.all, len(g.held))
	}
}

func TestShare(t *testing.T) {
	if n := Share(); n < 1 {
		t.Fatalf("%d connections", n)
	}
}

func TestBound(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(1, slog.New(slog.NewTextHandler(io.Discard, nil))).Bound(raw)
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := dial()
	accepted := make(chan net.Conn)
	go func() { c, _ := l.Accept(); accepted <- c }()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("a second connection was served")
	}
	_ = first.Close()
	dial()
	if c := <-accepted; c == nil {
		t.Fatal("no connection after the first was closed")
	} else {
		_ = c.Close()
	}
}

// TestOneHostsNetwork: a host has all addresses of an IPv6 network; with one connection from
// each it keeps nobody out.
func TestOneHostsNetwork(t *testing.T) {
	g := New(4, slog.New(slog.NewTextHandler(io.Discard, nil)))
	var flood []*fake
	for _, from := range []string{"[fe80::1%eth0]", "[fe80::2%eth0]", "[fe80::3%eth1]", "[fe80::ffff:1%eth0]"} {
		f := &fake{from: from}
		if g.take(f) == nil {
			t.Fatalf("%s was not taken", from)
		}
		flood = append(flood, f)
	}
	for _, from := range []string{"10.0.0.1", "[2001:db8::1]"} {
		if g.take(&fake{from: from}) == nil {
			t.Errorf("%s was kept out by one host", from)
		}
	}
	if !flood[3].closed || !flood[2].closed || flood[1].closed {
		t.Error("not the flood's newest were closed")
	}
}

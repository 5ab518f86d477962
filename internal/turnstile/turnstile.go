// Package turnstile bounds how many connections a port holds at once. A process has a
// limited number of open files; whoever reaches one of its ports could take all of them
// and so stop what else the process does, the store's files among it.
//
//	Accept ─▶ room? ─▶ taken
//	            │ no: who holds the most?
//	            ├── the newcomer's own address ─▶ the newcomer is closed
//	            └── another address ───────────▶ its newest connection is closed, the newcomer taken
//
// So a client that has few connections gets in however many another one has, and what
// was there long before a flood stays.
package turnstile

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"hyperkube/internal/bounds"
	"hyperkube/internal/trouble"
)

// Gate counts the connections of one or more ports.
type Gate struct {
	most int
	told *trouble.Teller

	mu   sync.Mutex
	all  int
	held map[netip.Addr][]*conn // by source, oldest first
}

// New returns a gate for at most that many connections.
func New(most int, log *slog.Logger) *Gate {
	return &Gate{most: max(1, most), told: trouble.New(log, nil, "taking connections"), held: map[netip.Addr][]*conn{}}
}

// Share is how many connections a port may hold, of the files the process may open.
func Share() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return bounds.Connections / bounds.ConnectionPorts
	}
	return int(min(l.Cur/bounds.ConnectionPorts, bounds.Connections))
}

// Bound returns the listener with its connections counted.
func (g *Gate) Bound(l net.Listener) net.Listener { return &listener{Listener: l, gate: g} }

type listener struct {
	net.Listener
	gate *Gate
}

// Accept returns the next connection there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if taken := l.gate.take(c); taken != nil {
			return taken, nil
		}
	}
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn
	gate   *Gate
	source netip.Addr
	once   sync.Once
}

// Close closes the connection and makes room.
func (c *conn) Close() error {
	c.once.Do(func() { c.gate.leave(c) })
	return c.Conn.Close()
}

func (g *Gate) take(raw net.Conn) *conn {
	c := &conn{Conn: raw, gate: g, source: source(raw)}
	g.mu.Lock()
	var out *conn
	full := g.all >= g.most
	if full {
		greedy := g.greediest(c.source)
		if greedy == c.source {
			g.mu.Unlock()
			_ = raw.Close()
			g.told.Failed(fmt.Errorf("%d connections are open, the most of them from %s, which gets no more", g.most, greedy))
			return nil
		}
		list := g.held[greedy]
		out = list[len(list)-1]
	}
	g.held[c.source] = append(g.held[c.source], c)
	g.all++
	g.mu.Unlock()
	if out != nil {
		_ = out.Close()
		g.told.Failed(fmt.Errorf("%d connections are open, the most of them from %s, of which one was closed for %s", g.most, out.source, c.source))
	} else if !full {
		g.told.Well()
	}
	return c
}

// greediest is the source with the most connections; a newcomer's counts with the one it asks for.
func (g *Gate) greediest(newcomer netip.Addr) netip.Addr {
	most, n := newcomer, len(g.held[newcomer])+1
	for a, list := range g.held {
		if len(list) > n {
			most, n = a, len(list)
		}
	}
	return most
}

func (g *Gate) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.held[c.source]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == c {
			list = append(list[:i], list[i+1:]...)
			g.all--
			break
		}
	}
	if len(list) == 0 {
		delete(g.held, c.source)
	} else {
		g.held[c.source] = list
	}
}

// source is the address a connection comes from; those that have none count as one, and so
// do those of an IPv6 network of 64 bits, all addresses of which one host may have.
func source(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is6() {
		if net, err := a.Prefix(64); err == nil {
			return net.Addr()
		}
	}
	return a
}

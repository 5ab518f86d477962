package proxy

import (
	"fmt"
	"net"
	"time"

	"hyperkube/internal/netns"
)

func dialUDP(ns *netns.NS, addr string) (c net.Conn, err error) {
	err = ns.Do(func() error { c, err = net.Dial("udp", addr); return err })
	return c, err
}

func expect(c net.Conn, want string) error {
	if err := c.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err == nil && string(b[:n]) != want {
		err = fmt.Errorf("answered by %s", b[:n])
	}
	return err
}

package node

import (
	"errors"
	"fmt"
	"net"
)

// Addresses finds the address by which others reach this machine: the one the default route would use, or else the
// first that is no loopback, or else the loopback.
func Addresses() ([]string, error) {
	// Nothing is sent: connecting a datagram socket only asks the kernel for a route.
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer c.Close()
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok && !a.IP.IsUnspecified() {
			return []string{a.IP.String()}, nil
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("node address: %w", err)
	}
	var loop string
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil {
			continue
		}
		if !n.IP.IsLoopback() {
			return []string{n.IP.String()}, nil
		}
		loop = n.IP.String()
	}
	if loop == "" {
		return nil, errors.New("this machine has no IPv4 address; name one")
	}
	return []string{loop}, nil
}

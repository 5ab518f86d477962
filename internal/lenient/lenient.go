// Package lenient reads addresses and ranges in every form that validation lets old fields of
// the API have: decimal numbers with leading zeros, IPv4 written as IPv6, ranges with spaces
// around them. Whoever acts on such a field must read what was let in: an address that says
// who may come, or where, and that cannot be read, would otherwise say nothing at all.
package lenient

import (
	"fmt"
	"net/netip"
	"strings"

	netutils "k8s.io/utils/net"
)

// Addr reads an address; IPv4 written as IPv6 is IPv4. It may have a zone.
func Addr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil {
		return a.Unmap(), nil
	}
	if old, ok := netip.AddrFromSlice(netutils.ParseIPSloppy(s)); ok {
		return old.Unmap(), nil
	}
	return netip.Addr{}, fmt.Errorf("%q is not an address: %w", s, err)
}

// Prefix reads a range, whose bits beyond its length need not be zero; those of the result are.
func Prefix(s string) (netip.Prefix, error) {
	ip, mask, err := netutils.ParseCIDRSloppy(strings.TrimSpace(s))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a range: %w", s, err)
	}
	a, _ := netip.AddrFromSlice(ip)
	bits, size := mask.Mask.Size()
	switch over := bits - 96; {
	case size == 32:
		a = a.Unmap()
	case a.Is4In6() && over >= 0:
		a, bits = a.Unmap(), over
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a range: %w", s, err)
	}
	return p, nil
}

package nft

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// bits matches bytes of a packet at a place of one of its headers.
type bits struct {
	base   expr.PayloadBase
	offset uint32
	want   []byte
	not    bool
	words  string
}

func (s bits) text(Family) string { return s.words }

func (s bits) encode(e *ruleEncoder) {
	e.add(&expr.Payload{DestRegister: regA, Base: s.base, Offset: s.offset, Len: uint32(len(s.want))})
	e.cmp(s.want, s.not)
}

// NotFromMAC matches frames whose source is not a link address.
func NotFromMAC(mac net.HardwareAddr) Stmt {
	return bits{expr.PayloadBaseLLHeader, 6, bytes.Clone(mac), true, fmt.Sprintf("ether saddr != %s", mac)}
}

// ARPFrom matches ARP that says an IPv4 address is at a link address; the rule must match
// frames of ARP.
func ARPFrom(a netip.Addr, mac net.HardwareAddr) Stmt {
	want := append(bytes.Clone(mac), a.AsSlice()...)
	return bits{expr.PayloadBaseNetworkHeader, 8, want, false, fmt.Sprintf("arp saddr ether %s arp saddr ip %s", mac, a)}
}

// From matches packets from an address; the rule must match frames of its family.
func From(a netip.Addr) Stmt {
	if a.Is4() {
		return bits{expr.PayloadBaseNetworkHeader, 12, a.AsSlice(), false, fmt.Sprintf("ip saddr %s", a)}
	}
	return bits{expr.PayloadBaseNetworkHeader, 8, a.AsSlice(), false, fmt.Sprintf("ip6 saddr %s", a)}
}

// ICMPType matches a type; the rule must match ICMP of either family.
func ICMPType(n uint8) Stmt {
	return bits{expr.PayloadBaseTransportHeader, 0, []byte{n}, false, fmt.Sprintf("@th,0,8 %d", n)}
}

type etherType uint16

// EtherType matches what a frame carries, unix.ETH_P_*.
func EtherType(n uint16) Stmt { return etherType(n) }

func (s etherType) text(Family) string { return fmt.Sprintf("meta protocol 0x%04x", uint16(s)) }

func (s etherType) encode(e *ruleEncoder) {
	e.add(&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: regA})
	e.cmp([]byte{byte(s >> 8), byte(s)}, false)
}

// Unsupported reports whether an error of making a chain says that the kernel has no tables
// of its family, or no such hooks (or, on some, no such link).
func Unsupported(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT)
}

package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Fields are padded to 4 bytes, the size of a register.
func padded(n int) int { return (n + 3) &^ 3 }

func width(types []Type, f Family) int {
	n := 0
	for _, t := range types {
		n += padded(t.size(f))
	}
	return n
}

// Key makes the raw key (or data) of fields: netip.Addr, uint8 (protocol), uint16
// (port).
func Key(fields ...any) string {
	var b []byte
	for _, v := range fields {
		switch v := v.(type) {
		case netip.Addr:
			b = append(b, v.AsSlice()...)
		case netip.AddrPort:
			b = appendAddrPort(b, v)
		case uint8:
			b = append(b, v, 0, 0, 0)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, v)
			b = append(b, 0, 0)
		default:
			panic(fmt.Sprintf("nft: no key field of %T", v))
		}
	}
	return string(b)
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	b = append(b, a.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	return append(b, 0, 0)
}

// keyText is the raw key as nft would print it.
func keyText(raw string, types []Type, f Family) string {
	var parts []string
	for _, t := range types {
		n := t.size(f)
		if len(raw) < n {
			return fmt.Sprintf("%x", raw)
		}
		field := []byte(raw[:n])
		raw = raw[min(len(raw), padded(n)):]
		switch t {
		case Addr:
			a, _ := netip.AddrFromSlice(field)
			parts = append(parts, a.String())
		case Proto:
			parts = append(parts, protoName(field[0]))
		case Port:
			parts = append(parts, fmt.Sprint(binary.BigEndian.Uint16(field)))
		default:
			parts = append(parts, fmt.Sprint(binary.NativeEndian.Uint32(field)))
		}
	}
	return strings.Join(parts, " . ")
}

func protoName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return fmt.Sprint(p)
}

func (v Value) text(types []Type, f Family) string {
	switch v.Verdict {
	case VerdictGoto:
		return "goto " + v.Chain
	case VerdictDrop:
		return "drop"
	}
	return keyText(v.Data, types, f)
}

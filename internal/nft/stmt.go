package nft

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Stmt is one statement of a rule. Two statements with the same text are the same.
type Stmt interface {
	text(f Family) string
	encode(e *ruleEncoder)
}

// user is a statement that needs a named set.
type user interface{ uses() string }

func (s lookup) uses() string  { return s.set }
func (s dnatMap) uses() string { return s.set }
func (s sticky) uses() string  { return s.set }

// Registers: keys and addresses start at regA, a second value at regB.
const (
	regA = unix.NFT_REG32_00
	regB = unix.NFT_REG32_08
	regC = unix.NFT_REG32_12
)

// Field is a packet field that can be looked up.
type Field uint8

// Packet fields.
const (
	Saddr Field = iota + 1
	Daddr
	L4Proto
	Dport
)

func (x Field) text(f Family) string {
	switch x {
	case Saddr:
		return f.String() + " saddr"
	case Daddr:
		return f.String() + " daddr"
	case L4Proto:
		return "meta l4proto"
	}
	return "th dport"
}

func (x Field) size(f Family) int {
	switch x {
	case Saddr, Daddr:
		return f.addrLen()
	case L4Proto:
		return 1
	}
	return 2
}

func (x Field) load(f Family, reg uint32) expr.Any {
	net := func(v4, v6 uint32) expr.Any {
		off := v4
		if f == IPv6 {
			off = v6
		}
		return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: off, Len: uint32(f.addrLen())}
	}
	switch x {
	case Saddr:
		return net(12, 8)
	case Daddr:
		return net(16, 24)
	case L4Proto:
		return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}
	}
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func fieldsText(fields []Field, f Family) string {
	s := make([]string, len(fields))
	for i, x := range fields {
		s[i] = x.text(f)
	}
	return strings.Join(s, " . ")
}

func (e *ruleEncoder) loadFields(fields []Field, reg uint32) {
	for _, x := range fields {
		e.add(x.load(e.family, reg))
		reg += uint32(padded(x.size(e.family)) / 4)
	}
}

type lookup struct {
	fields  []Field
	set     string
	verdict bool
	not     bool
}

// InSet matches packets whose fields are in a set.
func InSet(set string, fields ...Field) Stmt { return lookup{fields: fields, set: set} }

// NotInSet matches packets whose fields are not in a set.
func NotInSet(set string, fields ...Field) Stmt { return lookup{fields: fields, set: set, not: true} }

// VerdictMap goes where a verdict map says; it continues when the map says nothing.
func VerdictMap(set string, fields ...Field) Stmt {
	return lookup{fields: fields, set: set, verdict: true}
}

func (s lookup) text(f Family) string {
	op := ""
	if s.verdict {
		op = "vmap "
	} else if s.not {
		op = "!= "
	}
	return fieldsText(s.fields, f) + " " + op + "@" + s.set
}

func (s lookup) encode(e *ruleEncoder) {
	e.loadFields(s.fields, regA)
	e.add(&expr.Lookup{SourceRegister: regA, SetName: s.set, IsDestRegSet: s.verdict, Invert: s.not})
}

type prefix struct {
	field Field
	net   netip.Prefix
	not   bool
}

// FromNet matches packets whose source is in p.
func FromNet(p netip.Prefix) Stmt { return prefix{Saddr, p.Masked(), false} }

// NotFromNet matches packets whose source is not in p.
func NotFromNet(p netip.Prefix) Stmt { return prefix{Saddr, p.Masked(), true} }

// ToNet matches packets whose destination is in p.
func ToNet(p netip.Prefix) Stmt { return prefix{Daddr, p.Masked(), false} }

// NotToNet matches packets whose destination is not in p.
func NotToNet(p netip.Prefix) Stmt { return prefix{Daddr, p.Masked(), true} }

func (s prefix) text(f Family) string {
	op := ""
	if s.not {
		op = "!= "
	}
	return s.field.text(f) + " " + op + s.net.String()
}

func (s prefix) encode(e *ruleEncoder) {
	n := e.family.addrLen()
	mask := make([]byte, n)
	for i := range s.net.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	e.add(s.field.load(e.family, regA))
	e.add(&expr.Bitwise{SourceRegister: regA, DestRegister: regA, Len: uint32(n), Mask: mask, Xor: make([]byte, n)})
	e.cmp(s.net.Addr().AsSlice(), s.not)
}

type local struct{ field Field }

// FromHost matches packets whose source is an address of this host.
func FromHost() Stmt { return local{Saddr} }

// ToHost matches packets whose destination is an address of this host.
func ToHost() Stmt { return local{Daddr} }

func (s local) text(Family) string {
	if s.field == Saddr {
		return "fib saddr type local"
	}
	return "fib daddr type local"
}

func (s local) encode(e *ruleEncoder) {
	e.add(&expr.Fib{Register: regA, ResultADDRTYPE: true, FlagSADDR: s.field == Saddr, FlagDADDR: s.field == Daddr})
	e.cmp(binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL), false)
}

type proto uint8

// OfProto matches one transport protocol.
func OfProto(p uint8) Stmt { return proto(p) }

func (s proto) text(Family) string { return "meta l4proto " + protoName(uint8(s)) }

func (s proto) encode(e *ruleEncoder) {
	e.add(L4Proto.load(e.family, regA))
	e.cmp([]byte{byte(s)}, false)
}

type ifname struct {
	key  expr.MetaKey
	name string
	not  bool
}

// FromLink matches packets that came in on the named link.
func FromLink(name string) Stmt { return ifname{expr.MetaKeyIIFNAME, name, false} }

// NotFromLink matches packets that did not come in on the named link.
func NotFromLink(name string) Stmt { return ifname{expr.MetaKeyIIFNAME, name, true} }

// NotToLink matches packets that do not leave by the named link.
func NotToLink(name string) Stmt { return ifname{expr.MetaKeyOIFNAME, name, true} }

func (s ifname) text(Family) string {
	word := "iifname"
	if s.key == expr.MetaKeyOIFNAME {
		word = "oifname"
	}
	if s.not {
		word += " !="
	}
	return fmt.Sprintf("%s %q", word, s.name)
}

func (s ifname) encode(e *ruleEncoder) {
	e.add(&expr.Meta{Key: s.key, Register: regA})
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, s.name)
	e.cmp(name, s.not)
}

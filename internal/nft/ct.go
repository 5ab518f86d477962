package nft

import (
	"fmt"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Bits of conntrack's state and status words.
const (
	ctInvalid    = 1 << 0
	ctStateNew   = 1 << 3
	ctStatusDNAT = 1 << 5
)

type ctBits struct {
	key  expr.CtKey
	bits uint32
	word string
	not  bool
}

// NewConn matches the first packet of a connection.
func NewConn() Stmt { return ctBits{expr.CtKeySTATE, ctStateNew, "ct state new", false} }

// NoConn matches packets that connection tracking can make nothing of.
func NoConn() Stmt { return ctBits{expr.CtKeySTATE, ctInvalid, "ct state invalid", false} }

// WasDNATed matches packets of connections whose destination was rewritten.
func WasDNATed() Stmt { return ctBits{expr.CtKeySTATUS, ctStatusDNAT, "ct status dnat", false} }

// NotDNATed matches packets of connections whose destination was not rewritten.
func NotDNATed() Stmt { return ctBits{expr.CtKeySTATUS, ctStatusDNAT, "ct status ! dnat", true} }

func (s ctBits) text(Family) string { return s.word }

func (s ctBits) encode(e *ruleEncoder) {
	e.add(&expr.Ct{Key: s.key, Register: regA})
	e.testBits(s.bits, !s.not)
}

// testBits goes on when any bit of the word in regA is set (or, if !set, none is).
func (e *ruleEncoder) testBits(bits uint32, set bool) {
	e.add(&expr.Bitwise{SourceRegister: regA, DestRegister: regA, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)})
	e.cmp(make([]byte, 4), set)
}

type mark struct {
	bits uint32
	op   byte // '?' test, '|' set, '^' clear
}

// HasMark matches packets that have a bit of the mark set.
func HasMark(bits uint32) Stmt { return mark{bits, '?'} }

// SetMark sets bits of the packet's mark.
func SetMark(bits uint32) Stmt { return mark{bits, '|'} }

// ClearMark clears bits of the packet's mark.
func ClearMark(bits uint32) Stmt { return mark{bits, '^'} }

func (s mark) text(Family) string {
	switch s.op {
	case '|':
		return fmt.Sprintf("meta mark set meta mark or %#x", s.bits)
	case '^':
		return fmt.Sprintf("meta mark set meta mark and not %#x", s.bits)
	}
	return fmt.Sprintf("meta mark and %#x != 0", s.bits)
}

func (s mark) encode(e *ruleEncoder) {
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: regA})
	if s.op == '?' {
		e.testBits(s.bits, true)
		return
	}
	xor := uint32(0)
	if s.op == '|' {
		xor = s.bits
	}
	e.add(&expr.Bitwise{SourceRegister: regA, DestRegister: regA, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(^s.bits), Xor: binaryutil.NativeEndian.PutUint32(xor)})
	e.add(&expr.Meta{Key: expr.MetaKeyMARK, Register: regA, SourceRegister: true})
}

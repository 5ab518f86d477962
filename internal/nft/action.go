package nft

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

type verdict struct {
	kind  expr.VerdictKind
	chain string
	word  string
}

// JumpTo runs another chain and comes back.
func JumpTo(chain string) Stmt { return verdict{expr.VerdictJump, chain, "jump " + chain} }

// GoTo runs another chain and does not come back.
func GoTo(chain string) Stmt { return verdict{expr.VerdictGoto, chain, "goto " + chain} }

// Return leaves the chain.
func Return() Stmt { return verdict{expr.VerdictReturn, "", "return"} }

// Accept ends the hook.
func Accept() Stmt { return verdict{expr.VerdictAccept, "", "accept"} }

// DropPacket drops the packet.
func DropPacket() Stmt { return verdict{expr.VerdictDrop, "", "drop"} }

func (s verdict) text(Family) string    { return s.word }
func (s verdict) encode(e *ruleEncoder) { e.add(&expr.Verdict{Kind: s.kind, Chain: s.chain}) }

type reject struct{ tcp bool }

// RejectTCP answers with a TCP reset; the rule must match TCP.
func RejectTCP() Stmt { return reject{true} }

// RejectICMP answers with ICMP port unreachable.
func RejectICMP() Stmt { return reject{} }

func (s reject) text(f Family) string {
	switch {
	case s.tcp:
		return "reject with tcp reset"
	case f == IPv6:
		return "reject with icmpv6 port-unreachable"
	}
	return "reject with icmp port-unreachable"
}

func (s reject) encode(e *ruleEncoder) {
	switch {
	case s.tcp:
		e.add(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	case e.family == IPv6:
		e.add(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 4})
	default:
		e.add(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3})
	}
}

type masquerade struct{}

// Masquerade rewrites the source to the address of the link the packet leaves by.
func Masquerade() Stmt { return masquerade{} }

func (masquerade) text(Family) string    { return "masquerade fully-random" }
func (masquerade) encode(e *ruleEncoder) { e.add(&expr.Masq{FullyRandom: true}) }

// dnat rewrites the destination to the address and port that start at regA.
func (e *ruleEncoder) dnat() {
	e.add(&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(e.family),
		RegAddrMin: regA, RegProtoMin: regA + uint32(e.family.addrLen()/4), Specified: true})
}

type dnatMap struct {
	set    string
	fields []Field
}

// DNATByMap rewrites the destination to what a data map holds for the fields.
func DNATByMap(set string, fields ...Field) Stmt { return dnatMap{set, fields} }

func (s dnatMap) text(f Family) string {
	return "dnat to " + fieldsText(s.fields, f) + " map @" + s.set
}

func (s dnatMap) encode(e *ruleEncoder) {
	e.loadFields(s.fields, regA)
	e.add(&expr.Lookup{SourceRegister: regA, DestRegister: regA, IsDestRegSet: true, SetName: s.set})
	e.dnat()
}

type pick struct{ to []netip.AddrPort }

// DNATToAny rewrites the destination to one of to, chosen at random.
func DNATToAny(to []netip.AddrPort) Stmt { return pick{to} }

func (s pick) text(Family) string { return "dnat to " + pickText(s.to) }

func pickText(to []netip.AddrPort) string {
	if len(to) == 1 {
		return fmt.Sprintf("%s . %d", to[0].Addr(), to[0].Port())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "numgen random mod %d map { ", len(to))
	for i, a := range to {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d : %s . %d", i, a.Addr(), a.Port())
	}
	b.WriteString(" }")
	return b.String()
}

func (s pick) encode(e *ruleEncoder) {
	e.pick(s.to)
	e.dnat()
}

// pick leaves one of to in the registers from regA on.
func (e *ruleEncoder) pick(to []netip.AddrPort) {
	if len(to) == 1 {
		raw := appendAddrPort(nil, to[0])
		n := e.family.addrLen()
		e.add(&expr.Immediate{Register: regA, Data: raw[:n]})
		e.add(&expr.Immediate{Register: regA + uint32(n/4), Data: raw[n : n+2]})
		return
	}
	e.add(&expr.Numgen{Register: regC, Modulus: uint32(len(to)), Type: unix.NFT_NG_RANDOM})
	elems := make([]Element, len(to))
	for i, a := range to {
		elems[i] = Element{Key: string(binaryutil.NativeEndian.PutUint32(uint32(i))), Value: Value{Data: Key(a)}}
	}
	name, id := e.anonymous([]Type{Index}, []Type{Addr, Port}, elems)
	e.add(&expr.Lookup{SourceRegister: regC, DestRegister: regA, IsDestRegSet: true, SetName: name, SetID: id})
}

type sticky struct {
	set     string
	to      []netip.AddrPort
	timeout time.Duration
	fresh   bool
}

// DNATAsBefore rewrites the destination to the one a dynamic map remembers for the
// packet's source, if that is still one of to, and remembers it for timeout more.
func DNATAsBefore(set string, to []netip.AddrPort, timeout time.Duration) Stmt {
	return sticky{set, to, timeout, false}
}

// DNATAndRemember rewrites the destination to one of to, chosen at random, and
// remembers it for the packet's source in a dynamic map.
func DNATAndRemember(set string, to []netip.AddrPort, timeout time.Duration) Stmt {
	return sticky{set, to, timeout, true}
}

func (s sticky) text(f Family) string {
	if s.fresh {
		return fmt.Sprintf("delete @%s { %s saddr } update @%s { %s saddr timeout %s : %s } dnat to it",
			s.set, f, s.set, f, s.timeout, pickText(s.to))
	}
	live := make([]string, len(s.to))
	for i, a := range s.to {
		live[i] = fmt.Sprintf("%s . %d", a.Addr(), a.Port())
	}
	return fmt.Sprintf("%s saddr map @%s { %s } update timeout %s dnat to it", f, s.set, strings.Join(live, ", "), s.timeout)
}

func (s sticky) encode(e *ruleEncoder) {
	e.add(Saddr.load(e.family, regB))
	if s.fresh {
		e.pick(s.to)
		// The data register is not used by a deletion but the kernel asks for it.
		e.add(&expr.Dynset{SrcRegKey: regB, SrcRegData: regA, SetName: s.set, Operation: dynsetDelete})
	} else {
		e.add(&expr.Lookup{SourceRegister: regB, DestRegister: regA, IsDestRegSet: true, SetName: s.set})
		elems := make([]Element, len(s.to))
		for i, a := range s.to {
			elems[i].Key = Key(a)
		}
		name, id := e.anonymous([]Type{Addr, Port}, nil, elems)
		e.add(&expr.Lookup{SourceRegister: regA, SetName: name, SetID: id})
	}
	e.add(&expr.Dynset{SrcRegKey: regB, SrcRegData: regA, SetName: s.set, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: s.timeout})
	e.dnat()
}

const dynsetDelete = 2 // NFT_DYNSET_OP_DELETE

// Package nft describes an nftables table as data, finds the difference between
// what it should hold and what the kernel holds, and sends only that difference
// over netlink. No nft program is needed.
//
//	Fragment (one owner's chains, sets, elements)
//	   │ Put
//	   ▼
//	Desired ──Plan(Installed)──▶ Changes ──Kernel.Apply──▶ one or more transactions
//	                ▲                │
//	                └── Installed ◀──┘ (also Kernel.Read after a start)
//
// Contract:
//   - A table belongs to one writer. What the writer did not put in it is removed.
//   - Everything except kernel.go, read.go, socket.go and watch.go is pure.
//   - Changes that fit one transaction are applied atomically. Larger ones are cut
//     so that a packet never meets a rule whose target is not there yet: first what
//     is new, then what is switched, then what is no longer used.
//   - The types, flags and size of a set and the hook of a chain cannot be changed in
//     place, so one that differs (an earlier version made it) is replaced under its
//     name, with all that uses it, in one transaction of any size.
//   - Objects that we never make (counters, flowtables) are removed, and a table that
//     was switched off is switched on.
//   - The digest of a chain's text is kept with its first rule in the kernel, so a
//     restarted writer knows what is installed without decoding expressions.
//   - Dynamic sets are filled by packets; their elements are never compared.
package nft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Family is the address family of a table.
type Family uint8

// The families that tables here may have.
const (
	IPv4 Family = unix.NFPROTO_IPV4
	IPv6 Family = unix.NFPROTO_IPV6
	// Netdev sees what comes in on one link, before anything else does. It has no sets here.
	Netdev Family = unix.NFPROTO_NETDEV
)

// String is the word nft uses for the family.
func (f Family) String() string {
	switch f {
	case IPv6:
		return "ip6"
	case Netdev:
		return "netdev"
	}
	return "ip"
}

// addrLen is how many bytes an address has.
func (f Family) addrLen() int {
	if f == IPv6 {
		return 16
	}
	return 4
}

// Table names a table.
type Table struct {
	Family Family
	Name   string
}

// String is "ip name".
func (t Table) String() string { return t.Family.String() + " " + t.Name }

// Type is the type of one field of a set's key or data.
type Type uint8

// Field types. Addr is ipv4_addr or ipv6_addr as the table's family says.
const (
	Addr Type = iota + 1
	Proto
	Port
	Index
	Verdicts // only as data: the elements say where to go
)

func (t Type) name(f Family) string {
	switch t {
	case Addr:
		if f == IPv6 {
			return "ipv6_addr"
		}
		return "ipv4_addr"
	case Proto:
		return "inet_proto"
	case Port:
		return "inet_service"
	case Index:
		return "integer"
	case Verdicts:
		return "verdict"
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// code is the number nft gives the type, so that `nft list` can print our sets.
func (t Type) code(f Family) uint32 {
	switch t {
	case Addr:
		if f == IPv6 {
			return 8
		}
		return 7
	case Proto:
		return 12
	case Port:
		return 13
	}
	return 4
}

// size is how many bytes the field takes in a key.
func (t Type) size(f Family) int {
	switch t {
	case Addr:
		return f.addrLen()
	case Proto:
		return 1
	case Port:
		return 2
	}
	return 4
}

// Hook makes a chain a base chain.
type Hook struct {
	Type     string // "nat" or "filter"
	Num      uint32 // unix.NF_INET_*
	Priority int32
	Link     string // Netdev: the one whose packets are seen, Num is unix.NF_NETDEV_INGRESS
}

// Chain is a named list of rules.
type Chain struct {
	Name  string
	Hook  *Hook // nil: reached only by jumps
	Rules []Rule
}

// Rule is a list of statements: matches first, then what to do.
type Rule []Stmt

// Set is a named set or map.
type Set struct {
	Name string
	Key  []Type
	Data []Type // nil: a set
	// Dynamic sets are filled by packets and have per-element timeouts.
	Dynamic bool
	Most    int // how many elements a dynamic set may have; 0: 65536
}

// Element is one element of a set; Key is raw, made by Key.
type Element struct {
	Set   string
	Key   string
	Value Value
	// Rank says which owner has a key that several claim: that with the lowest, and of those
	// the first by name.
	Rank string
}

// Value is what a map holds for a key; zero in a set.
type Value struct {
	Verdict int32  // VerdictGoto, VerdictDrop: in verdict maps
	Chain   string // target of VerdictGoto
	Data    string // raw, in data maps
}

// Verdicts that elements use.
const (
	VerdictNone int32 = 0
	VerdictDrop int32 = -100 // kernel value 0; kept apart from "no verdict"
	VerdictGoto int32 = unix.NFT_GOTO
)

// Goto is the value "goto chain".
func Goto(chain string) Value { return Value{Verdict: VerdictGoto, Chain: chain} }

// Drop is the value "drop".
func Drop() Value { return Value{Verdict: VerdictDrop} }

// Fragment is what one owner puts in a table.
type Fragment struct {
	Chains   []Chain
	Sets     []Set
	Elements []Element
}

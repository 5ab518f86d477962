package nft

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Attributes of flowtables (linux/netfilter/nf_tables.h), which package unix lacks.
const (
	flowtableTable = 1
	flowtableName  = 2
)

// maxElementBytes keeps a list of elements within a netlink attribute (64 KiB).
const maxElementBytes = 48 << 10

// batch is a sequence of netlink messages that becomes one transaction.
type batch struct {
	table Table
	buf   []byte
	seq   uint32
	setID uint32
	names *anonymousNames
	err   error
}

// anonymousNames makes names for anonymous sets. The kernel would make them from a
// pattern, but by parsing the name of every set in the table each time.
type anonymousNames struct {
	prefix string
	count  uint64
}

func newAnonymousNames() *anonymousNames {
	return &anonymousNames{prefix: fmt.Sprintf("__a%08x", rand.Uint32())}
}

func (n *anonymousNames) next() string {
	n.count++
	return n.prefix + strconv.FormatUint(n.count, 36)
}

func newBatch(t Table) *batch {
	b := &batch{table: t}
	b.message(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.NFNL_SUBSYS_NFTABLES, nil)
	return b
}

// message appends one message; the attributes are what body appends.
func (b *batch) message(typ uint16, flags uint16, res uint16, body func()) {
	start := len(b.buf)
	b.seq++
	b.buf = append(b.buf, 0, 0, 0, 0)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, flags)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, b.seq)
	b.buf = append(b.buf, 0, 0, 0, 0)
	family := byte(b.table.Family)
	if body == nil {
		family = unix.AF_UNSPEC
	}
	b.buf = append(b.buf, family, unix.NFNETLINK_V0, byte(res>>8), byte(res))
	if body != nil {
		body()
	}
	binary.NativeEndian.PutUint32(b.buf[start:], uint32(len(b.buf)-start))
}

func (b *batch) nft(msg uint16, flags uint16, body func()) {
	b.message(unix.NFNL_SUBSYS_NFTABLES<<8|msg, unix.NLM_F_REQUEST|flags, 0, body)
}

func (b *batch) attr(typ uint16, data []byte) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(4+len(data)))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = append(b.buf, data...)
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
}

func (b *batch) attrString(typ uint16, s string) { b.attr(typ, append([]byte(s), 0)) }
func (b *batch) attrU32(typ uint16, v uint32)    { b.attr(typ, binaryutil.BigEndian.PutUint32(v)) }

func (b *batch) nest(typ uint16, body func()) {
	start := len(b.buf)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, 0)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ|unix.NLA_F_NESTED)
	body()
	n := len(b.buf) - start
	if n > 0xffff {
		b.err = fmt.Errorf("attribute %d of %d bytes is too long", typ, n)
	}
	binary.NativeEndian.PutUint16(b.buf[start:], uint16(n))
}

func (b *batch) addTable() {
	b.nft(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func() { b.attrString(unix.NFTA_TABLE_NAME, b.table.Name) })
}

// wakeTable switches a dormant table on.
func (b *batch) wakeTable() {
	b.nft(unix.NFT_MSG_NEWTABLE, 0, func() {
		b.attrString(unix.NFTA_TABLE_NAME, b.table.Name)
		b.attrU32(unix.NFTA_TABLE_FLAGS, 0)
	})
}

func (b *batch) delTable() {
	b.nft(unix.NFT_MSG_DELTABLE, 0, func() { b.attrString(unix.NFTA_TABLE_NAME, b.table.Name) })
}

func (b *batch) addChain(c *Chain) {
	b.nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() {
		b.attrString(unix.NFTA_CHAIN_TABLE, b.table.Name)
		b.attrString(unix.NFTA_CHAIN_NAME, c.Name)
		if c.Hook == nil {
			return
		}
		b.nest(unix.NFTA_CHAIN_HOOK, func() {
			b.attrU32(unix.NFTA_HOOK_HOOKNUM, c.Hook.Num)
			b.attrU32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
			if c.Hook.Link != "" {
				b.attrString(unix.NFTA_HOOK_DEV, c.Hook.Link)
			}
		})
		b.attrString(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	})
}

func (b *batch) delChain(name string) {
	b.nft(unix.NFT_MSG_DELCHAIN, 0, func() {
		b.attrString(unix.NFTA_CHAIN_TABLE, b.table.Name)
		b.attrString(unix.NFTA_CHAIN_NAME, name)
	})
}

func (b *batch) delStranger(s Stranger) {
	if s.Flowtable {
		b.nft(unix.NFT_MSG_DELFLOWTABLE, 0, func() {
			b.attrString(flowtableTable, b.table.Name)
			b.attrString(flowtableName, s.Name)
		})
		return
	}
	b.nft(unix.NFT_MSG_DELOBJ, 0, func() {
		b.attrString(unix.NFTA_OBJ_TABLE, b.table.Name)
		b.attrString(unix.NFTA_OBJ_NAME, s.Name)
		b.attrU32(unix.NFTA_OBJ_TYPE, s.Type)
	})
}

func (b *batch) flushChain(name string) {
	b.nft(unix.NFT_MSG_DELRULE, 0, func() {
		b.attrString(unix.NFTA_RULE_TABLE, b.table.Name)
		b.attrString(unix.NFTA_RULE_CHAIN, name)
	})
}

// addRules appends the rules of a chain; the first one carries the chain's digest.
func (b *batch) addRules(c *Chain) {
	digest := c.digest(b.table.Family)
	for i, r := range c.Rules {
		e := &ruleEncoder{batch: b, family: b.table.Family}
		for _, s := range r {
			s.encode(e)
		}
		b.nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, func() {
			b.attrString(unix.NFTA_RULE_TABLE, b.table.Name)
			b.attrString(unix.NFTA_RULE_CHAIN, c.Name)
			b.nest(unix.NFTA_RULE_EXPRESSIONS, func() { b.exprs(e.exprs) })
			if i == 0 {
				b.attr(unix.NFTA_RULE_USERDATA, digestComment(digest, len(c.Rules)))
			}
		})
	}
}

func (b *batch) exprs(list []expr.Any) {
	for _, x := range list {
		raw, err := expr.Marshal(byte(b.table.Family), x)
		if err != nil {
			b.err = fmt.Errorf("encoding %T: %w", x, err)
			return
		}
		b.attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, raw)
	}
}

// ruleEncoder collects a rule's expressions; sets that the rule needs for itself go
// into the batch before it.
type ruleEncoder struct {
	batch  *batch
	family Family
	exprs  []expr.Any
}

func (e *ruleEncoder) add(x expr.Any) { e.exprs = append(e.exprs, x) }

func (e *ruleEncoder) cmp(data []byte, not bool) {
	op := expr.CmpOpEq
	if not {
		op = expr.CmpOpNeq
	}
	e.add(&expr.Cmp{Op: op, Register: regA, Data: data})
}

func (e *ruleEncoder) anonymous(key, data []Type, elems []Element) (string, uint32) {
	b := e.batch
	b.setID++
	name := b.names.next()
	flags := uint32(unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT)
	s := &Set{Name: name, Key: key, Data: data}
	b.newSet(s, flags, b.setID, len(elems))
	b.elements(unix.NFT_MSG_NEWSETELEM, s, b.setID, elems)
	return name, b.setID
}

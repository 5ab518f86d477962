package nodeipam

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// errFull says that a range has no free block left.
var errFull = errors.New("no free block left in the cluster CIDR")

// maxBlocks bounds a range's bitmap: 2^16 nodes are more than a cluster holds.
const maxBlocks = 1 << 16

// blocks divides a range into equal blocks and knows which are taken, and who had each last: a
// node that is deleted and registers again, with its pods still running, finds its block as long
// as nobody else needed it. It is a plain value: the caller locks.
type blocks struct {
	base  netip.Prefix
	size  int // prefix length of a block
	count int
	used  []uint64
	next  int // where to look first, so that a freed block rests a while

	last map[int]string // the node that had a block last, by index
	had  map[string]int // the same by node
}

func newBlocks(base netip.Prefix, size int) (*blocks, error) {
	base = base.Masked()
	if size < base.Bits() || size > base.Addr().BitLen() {
		return nil, fmt.Errorf("node mask size %d does not fit into cluster CIDR %s", size, base)
	}
	count := maxBlocks
	if n := size - base.Bits(); n < 16 {
		count = 1 << n
	}
	return &blocks{base: base, size: size, count: count, used: make([]uint64, (count+63)/64), last: map[int]string{}, had: map[string]int{}}, nil
}

// block is the prefix of index i.
func (b *blocks) block(i int) netip.Prefix {
	a := b.base.Addr().As16() // an IPv4 address lies in the last four bytes
	shift := b.base.Addr().BitLen() - b.size
	sum := uint64(i) << (shift % 8)
	for at := 15 - shift/8; sum != 0 && at >= 0; at-- {
		sum += uint64(a[at])
		a[at] = byte(sum)
		sum >>= 8
	}
	addr := netip.AddrFrom16(a)
	if b.base.Addr().Is4() {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, b.size)
}

// span is the range of indexes that p overlaps; false when it lies outside.
func (b *blocks) span(p netip.Prefix) (first, last int, ok bool) {
	if !b.base.Overlaps(p) {
		return 0, 0, false
	}
	if p.Bits() <= b.base.Bits() {
		return 0, b.count - 1, true
	}
	first = b.index(p.Masked().Addr())
	if first >= b.count {
		return 0, 0, false
	}
	width := 1
	if p.Bits() < b.size {
		width = 1 << min(b.size-p.Bits(), 16)
	}
	return first, min(first+width, b.count) - 1, true
}

// index is the number of the block that holds a.
func (b *blocks) index(a netip.Addr) int {
	n := 0
	raw := a.AsSlice()
	for bit := b.base.Bits(); bit < b.size; bit++ {
		n = n<<1 | int(raw[bit/8]>>(7-bit%8)&1)
		if n >= maxBlocks {
			return n
		}
	}
	return n
}

func (b *blocks) taken(i int) bool { return b.used[i/64]&(1<<(i%64)) != 0 }

// occupy marks every block that p overlaps as taken; it reports whether p was wholly free.
func (b *blocks) occupy(p netip.Prefix) (free, inside bool) {
	first, last, ok := b.span(p)
	if !ok {
		return false, false
	}
	free = true
	for i := first; i <= last; i++ {
		free = free && !b.taken(i)
		b.used[i/64] |= 1 << (i % 64)
	}
	return free, true
}

// release frees the blocks of p.
func (b *blocks) release(p netip.Prefix) {
	first, last, ok := b.span(p)
	if !ok {
		return
	}
	for i := first; i <= last; i++ {
		b.used[i/64] &^= 1 << (i % 64)
	}
}

// belongs notes that the block p is, or was last, that of a node.
func (b *blocks) belongs(p netip.Prefix, node string) {
	if first, last, ok := b.span(p); ok && first == last && p.Bits() == b.size {
		b.remember(first, node)
	}
}

func (b *blocks) remember(i int, node string) {
	if before, ok := b.last[i]; ok && b.had[before] == i {
		delete(b.had, before)
	}
	if other, ok := b.had[node]; ok {
		delete(b.last, other)
	}
	b.last[i], b.had[node] = node, i
}

// take finds and occupies a free block for a node: the one it had last, if it is free.
func (b *blocks) take(node string) (netip.Prefix, error) {
	if i, ok := b.had[node]; ok && !b.taken(i) {
		b.used[i/64] |= 1 << (i % 64)
		return b.block(i), nil
	}
	for n := 0; n < b.count; {
		i := (b.next + n) % b.count
		word := ^b.used[i/64] >> (i % 64)
		if word == 0 { // no free block up to the end of this word
			n += 64 - i%64
			continue
		}
		skip := bits.TrailingZeros64(word)
		if i+skip >= b.count {
			n += b.count - i
			continue
		}
		i += skip
		b.used[i/64] |= 1 << (i % 64)
		b.next = (i + 1) % b.count
		b.remember(i, node)
		return b.block(i), nil
	}
	return netip.Prefix{}, fmt.Errorf("%s: %w", b.base, errFull)
}

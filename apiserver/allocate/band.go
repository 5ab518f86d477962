package allocate

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
)

// maxAddresses bounds what is searched of a very wide range.
const maxAddresses = 1 << 20

// addressRange is the usable part of a prefix: offsets 1 to last.
type addressRange struct {
	prefix netip.Prefix
	last   uint64 // offset of the last usable address
	static uint64 // offsets below this one are the band for addresses asked for
}

func newAddressRange(p netip.Prefix) (addressRange, error) {
	if !p.IsValid() {
		return addressRange{}, errors.New("no range given")
	}
	p = p.Masked()
	host := p.Addr().BitLen() - p.Bits()
	if host < 3 {
		return addressRange{}, fmt.Errorf("%s is too small: at least 8 addresses are needed", p)
	}
	size := uint64(maxAddresses)
	if host < 20 {
		size = 1 << host
	}
	r := addressRange{prefix: p, last: size - 1}
	if p.Addr().Is4() && host <= 20 {
		r.last-- // broadcast
	}
	r.static = staticBand(size)
	return r, nil
}

// staticBand is how much of a range of size addresses is kept for those that
// are asked for by name: a sixteenth, at least 16 and at most 256, nothing of
// a range that small.
func staticBand(size uint64) uint64 {
	if size <= 16 {
		return 1
	}
	return max(16, min(256, size/16))
}

// portBand is the same for a range of ports: a thirty-second, 16 to 128.
func portBand(size int) int {
	if size <= 16 {
		return 0
	}
	return max(16, min(128, size/32))
}

// at is the address at an offset.
func (r addressRange) at(offset uint64) netip.Addr {
	base := r.prefix.Addr().AsSlice()
	n := new(big.Int).SetBytes(base)
	n.Add(n, new(big.Int).SetUint64(offset))
	ip, _ := netip.AddrFromSlice(n.FillBytes(make([]byte, len(base))))
	return ip
}

// parse accepts the addresses of the range that may be given out.
func (r addressRange) parse(text string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ip, fmt.Errorf("%q is not an address", text)
	}
	edge := ip == r.prefix.Addr() || ip.Is4() && !r.prefix.Contains(ip.Next())
	if !r.prefix.Contains(ip) || edge {
		return ip, &NotInRange{What: "IP", Value: text, Range: r.prefix.String()}
	}
	return ip, nil
}

// reserved offsets are given out only to those who ask for them.
func reserved(offset uint64) bool { return offset == 1 || offset == 10 }

// search calls try with every free offset once: the upper band from a random
// start, then the lower one, until try is satisfied or fails.
func (r addressRange) search(random func(uint64) uint64, try func(netip.Addr) (bool, error)) error {
	for _, band := range [2][2]uint64{{r.static, r.last}, {1, r.static - 1}} {
		if band[1] < band[0] {
			continue
		}
		n := band[1] - band[0] + 1
		start := random(n)
		for i := range n {
			offset := band[0] + (start+i)%n
			if reserved(offset) {
				continue
			}
			if done, err := try(r.at(offset)); done || err != nil {
				return err
			}
		}
	}
	return ErrFull
}

func random(n uint64) uint64 { return rand.Uint64N(n) }

// freeBit finds a clear bit of a port range, in the upper band first.
func freeBit(bits *big.Int, size int, random func(uint64) uint64) (int, bool) {
	static := portBand(size)
	for _, band := range [2][2]int{{static, size}, {0, static}} {
		n := band[1] - band[0]
		if n <= 0 {
			continue
		}
		start := int(random(uint64(n)))
		for i := range n {
			if bit := band[0] + (start+i)%n; bits.Bit(bit) == 0 {
				return bit, true
			}
		}
	}
	return 0, false
}

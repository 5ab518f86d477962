package nft

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// dynamicSize bounds how many clients a dynamic set remembers that does not say so itself.
const dynamicSize = 1 << 16

func (b *batch) addSet(s *Set) {
	b.setID++
	flags, size := s.flags()
	b.newSet(s, flags, b.setID, size)
}

// flags are the set's flags, except that it is a map, and how much it may hold (0: no bound).
func (s *Set) flags() (flags uint32, size int) {
	if s.Dynamic {
		return unix.NFT_SET_EVAL | unix.NFT_SET_TIMEOUT, cmp.Or(s.Most, dynamicSize)
	}
	return 0, 0
}

// setSpec is what of a set cannot be changed once it is there.
type setSpec struct {
	flags, keyType, keyLen, dataType, dataLen, size uint32
	timeout                                         uint64
}

func (s setSpec) String() string {
	return fmt.Sprintf("flags %#x key %d/%d data %d/%d size %d timeout %d", s.flags, s.keyType, s.keyLen, s.dataType, s.dataLen, s.size, s.timeout)
}

// spec is the set as the kernel will describe it.
func (s *Set) spec(f Family) string {
	flags, size := s.flags()
	x := setSpec{flags: flags, keyType: typeCode(s.Key, f), keyLen: uint32(width(s.Key, f)), size: uint32(size)}
	switch {
	case s.isVerdictMap():
		x.flags, x.dataType = x.flags|unix.NFT_SET_MAP, unix.NFT_DATA_VERDICT
	case s.Data != nil:
		x.flags, x.dataType, x.dataLen = x.flags|unix.NFT_SET_MAP, typeCode(s.Data, f), uint32(width(s.Data, f))
	}
	return x.String()
}

// parseSetSpec reads the same from a set's attributes.
func parseSetSpec(raw []byte) (name string, x setSpec) {
	u32 := func(d []byte) uint32 {
		if len(d) < 4 {
			return 0
		}
		return binary.BigEndian.Uint32(d)
	}
	attributes(raw, func(t uint16, d []byte) {
		switch t {
		case unix.NFTA_SET_NAME:
			name = cString(d)
		case unix.NFTA_SET_FLAGS:
			x.flags = u32(d)
		case unix.NFTA_SET_KEY_TYPE:
			x.keyType = u32(d)
		case unix.NFTA_SET_KEY_LEN:
			x.keyLen = u32(d)
		case unix.NFTA_SET_DATA_TYPE:
			x.dataType = u32(d)
		case unix.NFTA_SET_DATA_LEN:
			x.dataLen = u32(d)
		case unix.NFTA_SET_TIMEOUT:
			if len(d) == 8 {
				x.timeout = binary.BigEndian.Uint64(d)
			}
		case unix.NFTA_SET_DESC:
			attributes(d, func(t uint16, d []byte) {
				if t == unix.NFTA_SET_DESC_SIZE {
					x.size = u32(d)
				}
			})
		}
	})
	if x.dataType == unix.NFT_DATA_VERDICT { // of a length that is the kernel's business
		x.dataLen = 0
	}
	return name, x
}

func (b *batch) newSet(s *Set, flags, id uint32, size int) {
	f := b.table.Family
	if s.Data != nil {
		flags |= unix.NFT_SET_MAP
	}
	b.nft(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, func() {
		b.attrString(unix.NFTA_SET_TABLE, b.table.Name)
		b.attrString(unix.NFTA_SET_NAME, s.Name)
		b.attrU32(unix.NFTA_SET_FLAGS, flags)
		b.attrU32(unix.NFTA_SET_KEY_TYPE, typeCode(s.Key, f))
		b.attrU32(unix.NFTA_SET_KEY_LEN, uint32(width(s.Key, f)))
		b.attrU32(unix.NFTA_SET_ID, id)
		if s.isVerdictMap() {
			b.attrU32(unix.NFTA_SET_DATA_TYPE, unix.NFT_DATA_VERDICT)
		} else if s.Data != nil {
			b.attrU32(unix.NFTA_SET_DATA_TYPE, typeCode(s.Data, f))
			b.attrU32(unix.NFTA_SET_DATA_LEN, uint32(width(s.Data, f)))
		}
		if size > 0 {
			b.nest(unix.NFTA_SET_DESC, func() { b.attrU32(unix.NFTA_SET_DESC_SIZE, uint32(size)) })
		}
	})
}

func (s *Set) isVerdictMap() bool { return len(s.Data) == 1 && s.Data[0] == Verdicts }

// typeCode joins the codes of concatenated fields, 6 bits each.
func typeCode(types []Type, f Family) uint32 {
	var c uint32
	for _, t := range types {
		c = c<<6 | t.code(f)
	}
	return c
}

func (b *batch) delSet(name string) {
	b.nft(unix.NFT_MSG_DELSET, 0, func() {
		b.attrString(unix.NFTA_SET_TABLE, b.table.Name)
		b.attrString(unix.NFTA_SET_NAME, name)
	})
}

// elements adds or deletes elements of one set, in as many messages as it takes.
func (b *batch) elements(msg uint16, s *Set, id uint32, elems []Element) {
	flags := uint16(0)
	if msg == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	for len(elems) > 0 {
		n := 0
		b.nft(msg, flags, func() {
			b.attrString(unix.NFTA_SET_ELEM_LIST_TABLE, b.table.Name)
			b.attrString(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
			if id != 0 {
				b.attrU32(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
			}
			b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
				for start := len(b.buf); n < len(elems) && len(b.buf)-start < maxElementBytes; n++ {
					b.element(s, &elems[n])
				}
			})
		})
		elems = elems[n:]
	}
}

func (b *batch) element(s *Set, e *Element) {
	b.nest(unix.NFTA_LIST_ELEM, func() {
		b.nest(unix.NFTA_SET_ELEM_KEY, func() { b.attr(unix.NFTA_DATA_VALUE, []byte(e.Key)) })
		switch {
		case s.Data == nil:
		case s.isVerdictMap():
			b.nest(unix.NFTA_SET_ELEM_DATA, func() {
				b.nest(unix.NFTA_DATA_VERDICT, func() {
					code := e.Value.Verdict
					if code == VerdictDrop {
						code = 0
					}
					b.attrU32(unix.NFTA_VERDICT_CODE, uint32(code))
					if e.Value.Chain != "" {
						b.attrString(unix.NFTA_VERDICT_CHAIN, e.Value.Chain)
					}
				})
			})
		default:
			b.nest(unix.NFTA_SET_ELEM_DATA, func() { b.attr(unix.NFTA_DATA_VALUE, []byte(e.Value.Data)) })
		}
	})
}

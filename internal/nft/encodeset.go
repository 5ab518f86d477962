package nft

import "golang.org/x/sys/unix"

// dynamicSize bounds how many clients a dynamic set remembers.
const dynamicSize = 1 << 16

func (b *batch) addSet(s *Set) {
	b.setID++
	size := 0
	flags := uint32(0)
	if s.Dynamic {
		flags, size = unix.NFT_SET_EVAL|unix.NFT_SET_TIMEOUT, dynamicSize
	}
	b.newSet(s, flags, b.setID, size)
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

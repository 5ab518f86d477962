package nft

import "testing"

// FuzzParse feeds the readers of kernel messages with anything.
func FuzzParse(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0})
	f.Add([]byte{12, 0, 1, 128, 8, 0, 1, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = parseMessages(raw, func(m message) error {
			k := &Kernel{table: Table{IPv4, "t"}, sock: &socket{}}
			k.isForeign(m)
			return nil
		})
		parseElement(raw)
		parseDigest(raw)
		emptyChain(IPv4, "x", "nat", raw, 1)
		parseSetSpec(raw)
	})
}

func TestDigestComment(t *testing.T) {
	d, n, ok := parseDigest(digestComment("0123456789abcdef", 7))
	if d != "0123456789abcdef" || n != 7 || !ok {
		t.Error(d, n, ok)
	}
}

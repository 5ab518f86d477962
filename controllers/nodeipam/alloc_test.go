package nodeipam

import (
	"errors"
	"math/rand"
	"net/netip"
	"testing"
)

// TestBlocksNeverOverlap checks the bitmap against a plain list of what is held.
func TestBlocksNeverOverlap(t *testing.T) {
	for _, k := range []struct {
		base string
		size int
	}{{"10.244.0.0/16", 24}, {"10.0.0.0/28", 30}, {"10.1.2.0/24", 24}, {"fd00::/48", 64}, {"fd00:10::/56", 64}} {
		for seed := range int64(20) {
			r := rand.New(rand.NewSource(seed))
			base := netip.MustParsePrefix(k.base)
			b, err := newBlocks(base, k.size)
			if err != nil {
				t.Fatal(err)
			}
			var held []netip.Prefix
			for range 600 {
				if len(held) > 0 && r.Intn(3) == 0 {
					i := r.Intn(len(held))
					b.release(held[i])
					held = append(held[:i], held[i+1:]...)
					continue
				}
				p, err := b.take("")
				if errors.Is(err, errFull) {
					if len(held) != b.count {
						t.Fatalf("%s full with %d of %d held", k.base, len(held), b.count)
					}
					continue
				}
				if p.Bits() != k.size || !base.Contains(p.Addr()) || p != p.Masked() {
					t.Fatalf("%s is no block of %s", p, base)
				}
				for _, h := range held {
					if h.Overlaps(p) {
						t.Fatalf("%s given out while %s is held", p, h)
					}
				}
				held = append(held, p)
			}
		}
	}
}

func TestOccupiedIsNotGivenOut(t *testing.T) {
	b, err := newBlocks(netip.MustParsePrefix("10.0.0.0/22"), 24)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"10.0.0.0/24", "10.0.2.128/25", "192.168.0.0/16"} { // a node's, half a block, outside
		b.occupy(netip.MustParsePrefix(p))
	}
	var got []string
	for {
		p, err := b.take("")
		if err != nil {
			break
		}
		got = append(got, p.String())
	}
	if len(got) != 2 || got[0] != "10.0.1.0/24" || got[1] != "10.0.3.0/24" {
		t.Errorf("got %v", got)
	}
}

// TestBlockReturns: a node that comes back gets the block it had, while others keep off it as
// long as they can.
func TestBlockReturns(t *testing.T) {
	b, err := newBlocks(netip.MustParsePrefix("10.0.0.0/22"), 24)
	if err != nil {
		t.Fatal(err)
	}
	take := func(node, want string) netip.Prefix {
		t.Helper()
		p, err := b.take(node)
		if err != nil || p.String() != want {
			t.Errorf("%s got %v, %v; want %s", node, p, err, want)
		}
		return p
	}
	first := take("a", "10.0.0.0/24")
	take("b", "10.0.1.0/24")
	b.release(first)
	b.release(take("a", first.String()))
	take("c", "10.0.2.0/24")
	take("d", "10.0.3.0/24")
	take("e", first.String()) // nothing else is left
	b.release(first)
	b.release(netip.MustParsePrefix("10.0.3.0/24"))
	take("d", "10.0.3.0/24")
	take("a", "10.0.0.0/24")
	if len(b.last) > b.count || len(b.had) > b.count {
		t.Errorf("remembers %d and %d of %d blocks", len(b.last), len(b.had), b.count)
	}
	// What the nodes tell at the start counts too.
	again, err := newBlocks(netip.MustParsePrefix("10.0.0.0/22"), 24)
	if err != nil {
		t.Fatal(err)
	}
	p := netip.MustParsePrefix("10.0.2.0/24")
	again.occupy(p)
	again.belongs(p, "c")
	again.release(p)
	if got, err := again.take("c"); err != nil || got != p {
		t.Errorf("after a restart: %v, %v", got, err)
	}
}

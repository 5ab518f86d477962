package nft

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// ownSet draws a set or map of one of several types, and rules that look it up.
func ownSet(t *rapid.T, owner string) (Set, Element, Rule) {
	name := "own/" + owner
	e := Element{Set: name}
	var key []Type
	var fields []Field
	switch rapid.SampledFrom([]string{"port", "addr", "proto.port"}).Draw(t, "key") {
	case "port":
		key, fields, e.Key = []Type{Port}, []Field{Dport}, Key(uint16(1))
	case "addr":
		key, fields, e.Key = []Type{Addr}, []Field{Daddr}, Key(netip.MustParseAddr("10.0.0.1"))
	default:
		key, fields, e.Key = []Type{Proto, Port}, []Field{L4Proto, Dport}, Key(uint8(6), uint16(1))
	}
	s := Set{Name: name, Key: key}
	if rapid.Bool().Draw(t, "map") {
		s.Data, e.Value = []Type{Verdicts}, Drop()
		return s, e, Rule{VerdictMap(name, fields...)}
	}
	return s, e, Rule{InSet(name, fields...), Return()}
}

// fragment draws what an owner may want: its own chains and sets, and elements that
// others may want too.
func fragment(t *rapid.T, owner string) *Fragment {
	f := &Fragment{}
	set, elem, lookup := ownSet(t, owner)
	withSet := rapid.Bool().Draw(t, "own set")
	for i := range rapid.IntRange(0, 3).Draw(t, "chains") {
		c := Chain{Name: fmt.Sprintf("%s/%d", owner, i)}
		if p := rapid.IntRange(-1, 1).Draw(t, "priority"); p >= 0 {
			c.Hook = &Hook{rapid.SampledFrom([]string{"filter", "nat"}).Draw(t, "type"), unix.NF_INET_PRE_ROUTING, int32(10 * p), ""}
		}
		if withSet && rapid.Bool().Draw(t, "uses set") {
			c.Rules = append(c.Rules, lookup)
		}
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			c.Rules = append(c.Rules, Rule{HasMark(uint32(rapid.IntRange(1, 3).Draw(t, "mark"))), Return()})
		}
		f.Chains = append(f.Chains, c)
	}
	if withSet {
		f.Sets = append(f.Sets, set)
		f.Elements = append(f.Elements, elem)
	}
	for _, k := range rapid.SliceOfDistinct(rapid.IntRange(0, 5), rapid.ID[int]).Draw(t, "keys") {
		f.Elements = append(f.Elements, Element{Set: "shared", Key: Key(uint16(k)), Value: Goto(owner), Rank: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "rank")})
	}
	return f
}

// TestPlanIsTheDifference: applying what Plan says to what is installed gives what a
// table made from nothing would be, after any history.
func TestPlanIsTheDifference(t *testing.T) {
	base := &Fragment{Sets: []Set{{Name: "shared", Key: []Type{Port}, Data: []Type{Verdicts}}}}
	rapid.Check(t, func(t *rapid.T) {
		d, have := NewDesired(Table{IPv4, "t"}), NewInstalled()
		d.Put("", base)
		owners := map[string]*Fragment{"": base}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			for range rapid.IntRange(1, 3).Draw(t, "puts") {
				owner := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "owner")
				if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
					d.Put(owner, nil)
					delete(owners, owner)
					continue
				}
				f := fragment(t, owner)
				d.Put(owner, f)
				owners[owner] = f
			}
			have.Apply(d.Plan(have), IPv4)
			d.Clean()
		}
		for key, v := range claimed(owners) {
			if got := have.Sets["shared"].Elements[key]; got != v {
				t.Fatalf("%q has %x, want %q", got.Chain, key, v.Chain)
			}
		}
		fresh, want := NewDesired(Table{IPv4, "t"}), NewInstalled()
		for o, f := range maps.All(owners) {
			fresh.Put(o, f)
		}
		want.Apply(fresh.Plan(want), IPv4)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("want (-), have (+):\n%s", diff)
		}
		if left := d.PlanAll(have); !left.Empty() {
			t.Fatalf("still to do: %+v", left)
		}
		if fresh.Text() != d.Text() {
			t.Fatal("the tables' texts differ")
		}
	})
}

// claimed is who has the keys of the shared map, looked up the long way.
func claimed(owners map[string]*Fragment) map[string]Value {
	out, by := map[string]Value{}, map[string]string{}
	for o, f := range owners {
		mine := map[string]Element{} // the last an owner says of a key
		for _, e := range f.Elements {
			if e.Set == "shared" {
				mine[e.Key] = e
			}
		}
		for k, e := range mine {
			if best, taken := by[k]; !taken || e.Rank+"/"+o < best {
				by[k], out[k] = e.Rank+"/"+o, e.Value
			}
		}
	}
	return out
}

// TestKernelFollowsTheModel does the same with the kernel's table.
func TestKernelFollowsTheModel(t *testing.T) {
	inNamespace(t, func() {
		base := &Fragment{Sets: []Set{{Name: "shared", Key: []Type{Port}, Data: []Type{Verdicts}}}, Chains: []Chain{{Name: "a"}, {Name: "b"}}}
		rapid.Check(t, func(rt *rapid.T) {
			k, err := Open(Table{IPv4, "prop"})
			if err != nil {
				rt.Fatal(err)
			}
			defer k.Close()
			d, have := NewDesired(k.Table()), NewInstalled()
			d.Put("", base)
			for range rapid.IntRange(1, 4).Draw(rt, "steps") {
				owner := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "owner")
				f := fragment(rt, owner)
				if rapid.IntRange(0, 3).Draw(rt, "remove") == 0 {
					f = nil
				}
				d.Put(owner, f)
				c := d.Plan(have)
				if err := k.Apply(c); err != nil {
					rt.Fatal(err)
				}
				have.Apply(c, IPv4)
				d.Clean()
				now, err := k.Read()
				if err != nil {
					rt.Fatal(err)
				}
				if left := d.PlanAll(now); !left.Empty() {
					rt.Fatalf("still to do: %+v", left)
				}
			}
			if err := k.Delete(); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

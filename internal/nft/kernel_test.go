package nft

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"hyperkube/internal/netns"

	"github.com/google/go-cmp/cmp"
)

// inNamespace runs the test's body in a network namespace of its own.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

func sample(f Family) *Fragment {
	a, b := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80")
	p := netip.MustParsePrefix("10.0.0.0/8")
	if f == IPv6 {
		a, b = netip.MustParseAddrPort("[fd00::1]:80"), netip.MustParseAddrPort("[fd00::2]:80")
		p = netip.MustParsePrefix("fd00::/16")
	}
	both := []netip.AddrPort{a, b}
	return &Fragment{
		Sets: []Set{
			{Name: "ips", Key: []Type{Addr, Proto, Port}, Data: []Type{Verdicts}},
			{Name: "seen", Key: []Type{Addr}, Data: []Type{Addr, Port}, Dynamic: true},
			{Name: "pairs", Key: []Type{Addr, Addr}},
			{Name: "host", Key: []Type{Proto, Port}, Data: []Type{Addr, Port}},
		},
		Elements: []Element{
			{Set: "ips", Key: Key(a.Addr(), uint8(6), uint16(80)), Value: Goto("svc/a")},
			{Set: "ips", Key: Key(b.Addr(), uint8(6), uint16(80)), Value: Drop()},
			{Set: "pairs", Key: Key(a.Addr(), b.Addr()), Value: Value{}},
			{Set: "host", Key: Key(uint8(17), uint16(53)), Value: Value{Data: Key(a)}},
		},
		Chains: []Chain{
			{Name: "pre", Hook: &Hook{"nat", unix.NF_INET_PRE_ROUTING, -100, ""}, Rules: []Rule{
				{NewConn(), VerdictMap("ips", Daddr, L4Proto, Dport)},
				{ToHost(), DNATByMap("host", L4Proto, Dport)},
			}},
			{Name: "post", Hook: &Hook{"nat", unix.NF_INET_POST_ROUTING, 100, ""}, Rules: []Rule{
				{HasMark(0x4000), ClearMark(0x4000), Masquerade()},
				{InSet("pairs", Saddr, Daddr), Masquerade()},
				{FromNet(p), NotToNet(p), NotToLink("cbr0"), Masquerade()},
			}},
			{Name: "filter", Hook: &Hook{"filter", unix.NF_INET_PRE_ROUTING, -110, ""}, Rules: []Rule{
				{OfProto(6), FromLink("lo"), NotDNATed(), RejectTCP()}, {WasDNATed(), RejectICMP()},
				{FromHost(), NotFromNet(p), ToNet(p), DropPacket()}, {NotInSet("pairs", Saddr, Daddr), Accept()},
			}},
			{Name: "svc/a", Rules: []Rule{
				{SetMark(0x4000), JumpTo("svc/b")},
				{DNATAsBefore("seen", both, time.Hour)}, {DNATAndRemember("seen", both, time.Hour)}, {DNATToAny(both)},
			}},
			{Name: "svc/b", Rules: []Rule{{DNATToAny(both[:1])}, {Return()}, {NotFromLink("x"), GoTo("svc/c")}}},
			{Name: "svc/c"},
		},
	}
}

func TestInstallReadChangeRemove(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		t.Run(f.String(), func(t *testing.T) {
			inNamespace(t, func() { installReadChangeRemove(t, Table{f, "test"}) })
		})
	}
}

func installReadChangeRemove(t *testing.T, table Table) {
	k, err := Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	have, err := k.Read()
	if err != nil || have.Exists {
		t.Fatalf("empty namespace: %+v, %v", have, err)
	}
	d := NewDesired(table)
	step := func(what string, plan func(*Installed) *Changes) {
		t.Helper()
		c := plan(have)
		if err := k.Apply(c); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		have.Apply(c, table.Family)
		d.Clean()
		now, err := k.Read()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		now.Exists = now.Exists || len(now.Chains) == 0 // an empty table is as good as none
		if diff := cmp.Diff(have, now); diff != "" {
			t.Fatalf("%s: model (-) and kernel (+) differ:\n%s", what, diff)
		}
		if left := d.PlanAll(now); !left.Empty() {
			t.Fatalf("%s: still to do: %+v", what, left)
		}
	}
	d.Put("a", sample(table.Family))
	step("install", d.Plan)
	changed := sample(table.Family)
	changed.Elements = changed.Elements[1:]
	changed.Elements[0].Value = Goto("svc/new")
	changed.Chains[4].Rules = changed.Chains[4].Rules[:1]
	changed.Chains[5].Name = "svc/new"
	changed.Sets = append(changed.Sets, Set{Name: "more", Key: []Type{Port}})
	d.Put("a", changed)
	step("change", d.Plan)
	d.Put("a", nil)
	step("remove", d.Plan)
	if err := k.Delete(); err != nil {
		t.Fatal(err)
	}
	if err := k.Delete(); err != nil {
		t.Fatal("second delete:", err)
	}
}

package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// older are tables that an earlier version might have left, by what is different in
// them. Nothing of it can be changed in place.
func older() map[string]func(*Fragment) {
	set := func(name string, change func(*Set)) func(*Fragment) {
		return func(f *Fragment) {
			for i := range f.Sets {
				if f.Sets[i].Name == name {
					change(&f.Sets[i])
				}
			}
			// What used the set as it is now did not then.
			f.Elements, f.Chains = nil, f.Chains[5:]
			f.Chains[0].Rules = []Rule{{Return()}}
		}
	}
	chain := func(i int, change func(*Chain)) func(*Fragment) {
		return func(f *Fragment) { change(&f.Chains[i]) }
	}
	return map[string]func(*Fragment){
		"key of a map":           set("ips", func(s *Set) { s.Key = []Type{Addr, Port} }),
		"order of a key":         set("ips", func(s *Set) { s.Key = []Type{Proto, Addr, Port} }),
		"data of a map":          set("host", func(s *Set) { s.Data = []Type{Addr} }),
		"verdicts for data":      set("host", func(s *Set) { s.Data = []Type{Verdicts} }),
		"map for a set":          set("pairs", func(s *Set) { s.Data = []Type{Port} }),
		"set for a map":          set("ips", func(s *Set) { s.Data = nil }),
		"static for dynamic":     set("seen", func(s *Set) { s.Dynamic = false }),
		"dynamic for static":     set("pairs", func(s *Set) { s.Dynamic = true }),
		"priority of a hook":     chain(0, func(c *Chain) { c.Hook.Priority = -150 }),
		"hook":                   chain(1, func(c *Chain) { c.Hook.Num, c.Rules = unix.NF_INET_LOCAL_IN, nil }),
		"type of a chain":        chain(0, func(c *Chain) { c.Hook.Type, c.Rules = "filter", nil }),
		"chain that had no hook": chain(2, func(c *Chain) { c.Hook = nil }),
		"chain that had a hook":  chain(5, func(c *Chain) { c.Hook = &Hook{"filter", unix.NF_INET_FORWARD, 0, ""} }),
		"everything": func(f *Fragment) {
			f.Sets, f.Elements, f.Chains = []Set{{Name: "ips", Key: []Type{Index}}}, nil, []Chain{{Name: "pre"}}
		},
	}
}

// TestOlderTableIsReplaced finds a table of an earlier version in the kernel.
func TestOlderTableIsReplaced(t *testing.T) {
	for name, change := range older() {
		for _, f := range []Family{IPv4, IPv6} {
			t.Run(name+"/"+f.String(), func(t *testing.T) {
				inNamespace(t, func() {
					before := sample(f)
					change(before)
					replaceTable(t, Table{f, "test"}, before, sample(f))
				})
			})
		}
	}
}

func replaceTable(t *testing.T, table Table, before, now *Fragment) {
	t.Helper()
	k, err := Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if len(before.Chains) > 0 && before.Chains[len(before.Chains)-1].Hook != nil { // no jumps to a hooked chain
		for i := range before.Chains {
			if before.Chains[i].Name == "svc/b" {
				before.Chains[i].Rules = before.Chains[i].Rules[:2]
			}
		}
	}
	bring(t, k, before)
	have := bring(t, k, now)
	// The same again without reading: what the model says is there, changed back and forth.
	d := NewDesired(table)
	d.Put("a", before)
	for _, f := range []*Fragment{before, now} {
		d.Put("a", f)
		c := d.PlanAll(have)
		if err := k.Apply(c); err != nil {
			t.Fatal(err)
		}
		have.Apply(c, table.Family)
		is, err := k.Read()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(have, is); diff != "" {
			t.Fatalf("model (-) and kernel (+) differ:\n%s", diff)
		}
	}
}

// bring makes the table hold a fragment, whatever is there.
func bring(t *testing.T, k *Kernel, f *Fragment) *Installed {
	t.Helper()
	d := NewDesired(k.Table())
	d.Put("a", f)
	have, err := k.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Apply(d.PlanAll(have)); err != nil {
		t.Fatal(err)
	}
	if have, err = k.Read(); err != nil {
		t.Fatal(err)
	}
	if left := d.PlanAll(have); !left.Empty() {
		t.Fatalf("still to do: %+v", left)
	}
	return have
}

// TestStrangersGo: counters and flowtables that we never make, and a table that somebody
// switched off.
func TestStrangersGo(t *testing.T) {
	inNamespace(t, func() {
		a := netlink.NewLinkAttrs()
		a.Name = "x0"
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: a}); err != nil {
			t.Fatal(err)
		}
		k, err := Open(Table{IPv4, "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		bring(t, k, sample(IPv4))
		other, err := Open(k.Table())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		b := other.newBatch()
		b.nft(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE, func() {
			b.attrString(unix.NFTA_OBJ_TABLE, "test")
			b.attrString(unix.NFTA_OBJ_NAME, "hits")
			b.attrU32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
			b.nest(unix.NFTA_OBJ_DATA, func() {})
		})
		want := []Stranger{{Type: unix.NFT_OBJECT_COUNTER, Name: "hits"}}
		if err := other.sock.transact(b); err != nil {
			t.Fatal(err)
		}
		b = other.newBatch()
		b.nft(unix.NFT_MSG_NEWFLOWTABLE, unix.NLM_F_CREATE, func() {
			b.attrString(flowtableTable, "test")
			b.attrString(flowtableName, "fast")
			b.nest(3, func() { // hook
				b.attrU32(1, 0) // ingress
				b.attrU32(2, 0) // priority
				b.nest(3, func() { b.attrString(1, "x0") })
			})
		})
		switch err := other.sock.transact(b); {
		case err == nil:
			want = append(want, Stranger{Flowtable: true, Name: "fast"})
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP):
			t.Log("this kernel has no flowtables:", err)
		default:
			t.Fatal(err)
		}
		have, err := k.Read()
		if err != nil {
			t.Fatal(err)
		}
		if cmp.Diff(want, have.Strangers) != "" {
			t.Fatalf("strangers %+v, want %+v", have.Strangers, want)
		}
		b = other.newBatch()
		b.nft(unix.NFT_MSG_NEWTABLE, 0, func() {
			b.attrString(unix.NFTA_TABLE_NAME, "test")
			b.attrU32(unix.NFTA_TABLE_FLAGS, unix.NFT_TABLE_F_DORMANT)
		})
		if err := other.sock.transact(b); err != nil {
			t.Fatal(err)
		}
		if have, err = k.Read(); err != nil || !have.Dormant {
			t.Fatalf("dormant: %+v, %v", have, err)
		}
		if have = bring(t, k, sample(IPv4)); have.Dormant || len(have.Strangers) != 0 {
			t.Errorf("left: %+v", have)
		}
	})
}

// TestReadIsOfOneMoment reads while another writer switches the table between two
// states, each in one transaction: what is read is one of them, never a mixture.
func TestReadIsOfOneMoment(t *testing.T) {
	inNamespace(t, func() {
		state := func(n int) *Fragment {
			f := &Fragment{Sets: []Set{{Name: "s", Key: []Type{Addr}}}, Chains: []Chain{{Name: "c", Rules: []Rule{{HasMark(uint32(n)), Return()}}}}}
			for i := range 300 {
				f.Elements = append(f.Elements, Element{Set: "s", Key: Key(netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}))})
			}
			return f
		}
		k, err := Open(Table{IPv4, "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		writer, err := Open(k.Table())
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Close()
		d, model := NewDesired(k.Table()), NewInstalled()
		put := func(n int) error {
			d.Put("a", state(n))
			c := d.Plan(model)
			d.Clean()
			model.Apply(c, IPv4)
			return writer.Apply(c)
		}
		if err := put(1); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var writing sync.WaitGroup
		var failed error
		writing.Go(func() {
			pace := time.NewTicker(3 * time.Millisecond)
			defer pace.Stop()
			for n := 0; failed == nil; n++ {
				select {
				case <-stop:
					return
				case <-pace.C:
					failed = put(1 + n%2)
				}
			}
		})
		whole := 0
		for range 100 {
			have, err := k.Read()
			if errors.Is(err, netlink.ErrDumpInterrupted) {
				continue // it changes all the time, and says so
			}
			if err != nil {
				t.Fatal(err)
			}
			whole++
			if err := oneOf(have, state(1), state(2)); err != nil {
				t.Error(err)
				break
			}
		}
		close(stop)
		writing.Wait()
		if failed != nil {
			t.Error(failed)
		}
		if whole < 50 {
			t.Errorf("only %d of 100 readings succeeded", whole)
		}
	})
}

func oneOf(have *Installed, states ...*Fragment) error {
	var diffs []string
	for _, s := range states {
		want := NewInstalled()
		d := NewDesired(Table{IPv4, "test"})
		d.Put("a", s)
		want.Apply(d.PlanAll(want), IPv4)
		diff := cmp.Diff(want, have)
		if diff == "" {
			return nil
		}
		diffs = append(diffs, diff[:min(len(diff), 400)])
	}
	return fmt.Errorf("read a mixture:\n%s", diffs)
}

// TestNewChainIsThereFirst: a chain that is new has its rules before anything leads to it, in a transaction of its own;
// a packet that is on its way would fall through it. The second transaction fails here, as somebody else has taken the
// key, and the first has been put in all the same.
func TestNewChainIsThereFirst(t *testing.T) {
	inNamespace(t, func() {
		k, err := Open(Table{IPv4, "t"})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		set := Set{Name: "ips", Key: []Type{Addr}, Data: []Type{Verdicts}}
		key := Key(netip.MustParseAddr("10.96.0.1"))
		want := NewDesired(k.Table())
		want.Put("base", &Fragment{Sets: []Set{set}, Chains: []Chain{
			{Name: "out", Hook: &Hook{"nat", unix.NF_INET_LOCAL_OUT, -100, ""}, Rules: []Rule{{VerdictMap("ips", Daddr)}}}}})
		if err := k.Apply(want.PlanAll(&Installed{})); err != nil {
			t.Fatal(err)
		}
		have, err := k.Read()
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Apply(ElementChanges(&set, []Element{{Set: "ips", Key: key, Value: Drop()}}, nil)); err != nil {
			t.Fatal(err)
		}
		svc := Chain{Name: "svc", Rules: []Rule{{DNATToAny([]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")})}}}
		want.Put("svc", &Fragment{Chains: []Chain{svc}, Elements: []Element{{Set: "ips", Key: key, Value: Goto("svc")}}})
		if err := k.Apply(want.PlanAll(have)); err == nil {
			t.Fatal("a key that has another value was taken")
		}
		if have, err = k.Read(); err != nil {
			t.Fatal(err)
		}
		alone := NewDesired(k.Table())
		alone.Put("svc", &Fragment{Chains: []Chain{svc}})
		if c := alone.PlanAll(have); len(c.AddChains)+len(c.SetChains) != 0 {
			t.Errorf("the new chain was not there whole: %d missing, %d with other rules", len(c.AddChains), len(c.SetChains))
		}
		if err := k.Apply(want.PlanAll(have)); err != nil { // as after every error
			t.Fatal(err)
		}
		if have, err = k.Read(); err != nil || !want.PlanAll(have).Empty() {
			t.Errorf("not put right afterwards: %v", err)
		}
	})
}

package ipam

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func open(t interface {
	Helper()
	Fatal(...any)
}, dir string) *Pool {
	t.Helper()
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPoolAgainstMap: whatever is asked in whatever order, the pool agrees with a map.
func TestPoolAgainstMap(t *testing.T) {
	root := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		dir := fmt.Sprintf("%s/%d", root, run)
		subnet := netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.0/29", "10.0.0.8/30", "fd00::/125"}).Draw(t, "subnet"))
		size := 0
		for a := subnet.Addr(); subnet.Contains(a); a = a.Next() {
			if usable(subnet, a) {
				size++
			}
		}
		want := map[netip.Addr]Owner{}
		var freed netip.Addr
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			p := open(t, dir)
			owner := Owner{rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "owner"), "eth0"}
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1, 2:
				a, err := p.Allocate(subnet, owner)
				if (len(want) == size) != errors.Is(err, ErrFull) {
					t.Fatalf("%d of %d held: %v", len(want), size, err)
				}
				if err == nil {
					if _, taken := want[a]; taken || !usable(subnet, a) {
						t.Fatalf("gave %s", a)
					}
					if a == freed && len(want) < size-1 {
						t.Fatalf("%s is used again at once", a)
					}
					want[a] = owner
				}
				freed = netip.Addr{}
			case 3:
				addrs, err := p.Of(owner)
				if err == nil {
					err = p.Release(addrs...)
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range addrs {
					if want[a] != owner {
						t.Fatalf("%s was not of %s", a, owner)
					}
					delete(want, a)
				}
			case 4:
				if err := p.Release(slices.Collect(maps.Keys(want))...); err != nil {
					t.Fatal(err)
				}
				clear(want)
			}
			held, err := p.Held()
			if err != nil || len(held) != len(want) {
				t.Fatalf("held %v, want %v (%v)", held, want, err)
			}
			for a, o := range held {
				if want[a] != o {
					t.Fatalf("%s is of %s, want %s", a, o, want[a])
				}
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAddressesTakeTurns(t *testing.T) {
	p := open(t, t.TempDir())
	defer p.Close()
	subnet := netip.MustParsePrefix("10.0.0.0/24")
	seen := map[netip.Addr]bool{}
	for i := range 253 { // all but network, gateway and broadcast
		a, err := p.Allocate(subnet, Owner{"x", "eth0"})
		if err != nil || seen[a] {
			t.Fatalf("number %d: %s, %v", i, a, err)
		}
		seen[a] = true
		if err := p.Release(a); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledWhileAllocating kills a process that takes addresses as fast as it can,
// and then uses what it left.
func TestKilledWhileAllocating(t *testing.T) {
	const env = "IPAM_TEST_DIR"
	subnet := netip.MustParsePrefix("10.0.0.0/16")
	if dir := os.Getenv(env); dir != "" {
		for i := 0; ; i++ {
			p, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			a, err := p.Allocate(subnet, Owner{fmt.Sprint(i), "eth0"})
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				err = p.Release(a)
			}
			if err := errors.Join(err, p.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileAllocating$")
		cmd.Env = append(os.Environ(), env+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // it writes for ever
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		for enough := false; !enough; { // until it has got somewhere
			p := open(t, dir)
			held, err := p.Held()
			if err := errors.Join(err, p.Close()); err != nil {
				t.Fatal(err)
			}
			enough = len(held) > 20*(round+1)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		p := open(t, dir)
		a, err := p.Allocate(subnet, Owner{"after", "eth0"})
		if err != nil {
			t.Fatal("after the kill:", err)
		}
		held, err := p.Held()
		if err != nil || held[a].Container != "after" {
			t.Fatal(held[a], err)
		}
		for a, o := range held {
			if o.Container == "" || o.Interface != "eth0" {
				t.Errorf("%s has a torn owner %q", a, o)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, dir)
	defer p.Close()
	held, err := p.Held()
	if err == nil {
		err = p.Release(slices.Collect(maps.Keys(held))...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if held, err := p.Held(); err != nil || len(held) != 0 {
		t.Errorf("%d leaked, %v", len(held), err)
	}
}

func TestUnreadableEntryIsFreed(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	defer p.Close()
	if err := os.WriteFile(dir+"/ips/10.0.0.5", nil, 0o600); err != nil { // not a link
		t.Fatal(err)
	}
	gone, err := p.Of(Owner{})
	if err == nil {
		err = p.Release(gone...)
	}
	if held, err2 := p.Held(); err != nil || err2 != nil || len(gone) != 1 || len(held) != 0 {
		t.Errorf("freed %v, held %v, %v, %v", gone, held, err, err2)
	}
}

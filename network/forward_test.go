package network

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
)

// TestForeignDropIsTold: a firewall whose forwarding chain drops is named once, with what to do.
func TestForeignDropIsTold(t *testing.T) {
	a := startAgent(t, nil, nil)
	if s := a.log.String(); strings.Contains(s, "drops forwarded packets") {
		t.Fatalf("told without a reason: %s", s)
	}
	a.stop()
	foreign := func(change func(*nftables.Conn)) {
		t.Helper()
		in(t, a.ns, func() error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			change(c)
			return c.Flush()
		})
	}
	drop, accept := nftables.ChainPolicyDrop, nftables.ChainPolicyAccept
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "firewall"}
	foreign(func(c *nftables.Conn) {
		c.AddTable(table)
		for name, p := range map[string]*nftables.ChainPolicy{"through": &drop, "harmless": &accept} {
			c.AddChain(&nftables.Chain{Table: table, Name: name, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: p})
		}
		c.AddChain(&nftables.Chain{Table: table, Name: "in", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	})
	log := &logged{}
	n, err := New(Options{NodeName: "me", PodCIDRs: a.o.PodCIDRs, ConfDir: a.o.ConfDir, StateDir: a.o.StateDir, Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	look := func(after time.Duration) string {
		t.Helper()
		in(t, a.ns, func() error { n.lookAtForwarding(now.Add(after)); return nil })
		return log.String()
	}
	first := look(0)
	if !strings.Contains(first, `chain="inet firewall through"`) || !strings.Contains(first, DefaultBridge) {
		t.Error(errors.New(first))
	}
	if again := look(2 * forwardPause); again != first {
		t.Errorf("told again: %s", again)
	}
	foreign(func(c *nftables.Conn) { c.DelTable(table) })
	if s := look(2*forwardPause + time.Second); s != first {
		t.Errorf("looked too soon: %s", s)
	}
	if s := look(4 * forwardPause); !strings.Contains(s, "no chain drops forwarded packets any more") {
		t.Error(s)
	}
}

// TestForwardingComesBack: who turns forwarding off, as a sysctl.d that is loaded again, cuts
// pods off for a moment only.
func TestForwardingComesBack(t *testing.T) {
	a := startAgent(t, nil, nil)
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/cbr0/forwarding"} {
		in(t, a.ns, func() error { return os.WriteFile(path, []byte("0"), 0) })
		eventually(t, "forwarding by "+path, func() (err error) {
			in(t, a.ns, func() error {
				var raw []byte
				if raw, err = os.ReadFile(path); err == nil && strings.TrimSpace(string(raw)) != "1" {
					err = errors.New("it is off")
				}
				return nil
			})
			return err
		})
	}
}

func TestStopsForwarding(t *testing.T) {
	message := func(kind uint16, value ...byte) []byte {
		b := binary.NativeEndian.AppendUint16([]byte{2, 0, 0, 0}, uint16(4+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
		return append(b, make([]byte, -len(b)&3)...) // as the kernel pads them
	}
	for _, tc := range []struct {
		data []byte
		want bool
	}{
		{message(2, 0, 0, 0, 0), true}, {message(2, 1, 0, 0, 0), false}, {message(3, 0, 0, 0, 0), false},
		{message(2), false}, {message(2, 0), false}, {nil, false}, {[]byte{2, 0}, false}, {[]byte{2, 0, 0, 0}, false},
		{[]byte{2, 0, 0, 0, 200, 0, 2, 0}, true}, // cannot be read: better look
	} {
		if got := stopsForwarding(tc.data); got != tc.want {
			t.Errorf("%v stops forwarding: %v", tc.data, got)
		}
	}
}

package cni

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"hyperkube/internal/netns"
	"hyperkube/internal/nft"
	"hyperkube/network/ipam"
)

// inFlight makes it look as if another process of the plugin added the container, until
// release is called.
func (n *node) inFlight(id string) (release func()) {
	n.t.Helper()
	f, err := os.OpenFile(attachmentFile(n.conf["stateDir"].(string), ipam.Owner{Container: id, Interface: "eth0"}), os.O_RDWR, 0)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

func (n *node) state() State { return State{Dir: n.conf["stateDir"].(string), Table: "hyperkube"} }

// TestWhatIsInFlightIsLetAlone: GC, the agent's removal and a second ADD leave it; DEL waits.
func TestWhatIsInFlightIsLetAlone(t *testing.T) {
	n := newNode(t)
	ns, _ := n.pod("a", nil)
	held, err := n.state().Held()
	if err != nil {
		t.Fatal(err)
	}
	owner := ipam.Owner{Container: "a", Interface: "eth0"}
	before := held[owner]
	if before == nil || before.InFlight || before.Note == nil || before.Note.Netns != ns.Path() || len(before.Note.Addrs) != 1 || len(before.Note.Gates) != 1 {
		t.Fatalf("after ADD: %+v", before)
	}
	release := n.inFlight("a")
	n.do(func() error { return GC(n.args("", nil, nil)) })
	n.do(func() error {
		if did, err := n.state().Remove(owner, before.Since); did || err != nil {
			t.Errorf("the agent removed it: %v, %v", did, err)
		}
		_, _, err := Add(n.args("a", ns, nil))
		var cniErr *types.Error
		if !errors.As(err, &cniErr) || cniErr.Code != types.ErrTryAgainLater {
			t.Errorf("a second ADD: %v", err)
		}
		return nil
	})
	if n.links() != 1 || n.held() != 1 {
		t.Fatalf("%d links and %d addresses left, want 1 of each", n.links(), n.held())
	}
	done := make(chan error, 1)
	go func() { done <- n.ns.Do(func() error { return Del(n.args("a", ns, nil)) }) }()
	select {
	case err := <-done:
		t.Errorf("DEL did not wait: %v", err)
	default:
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n.links() != 0 || n.held() != 0 {
		t.Errorf("%d links and %d addresses left", n.links(), n.held())
	}
	if notes, err := ReadAttachments(n.state().Dir); err != nil || len(notes) != 0 {
		t.Errorf("notes left: %v, %v", notes, err)
	}
}

// TestRemoveIsOfWhatWasSeen: what is held anew under the same name is another thing.
func TestRemoveIsOfWhatWasSeen(t *testing.T) {
	n := newNode(t)
	ns, _ := n.pod("a", nil)
	owner := ipam.Owner{Container: "a", Interface: "eth0"}
	held, err := n.state().Held()
	if err != nil {
		t.Fatal(err)
	}
	since := held[owner].Since
	n.do(func() error { return Del(n.args("a", ns, nil)) })
	n.do(func() error { _, _, err := Add(n.args("a", ns, nil)); return err })
	n.do(func() error {
		if did, err := n.state().Remove(owner, since); did || err != nil {
			t.Errorf("removed what was held anew: %v, %v", did, err)
		}
		return nil
	})
	if held, err = n.state().Held(); err != nil || held[owner] == nil {
		t.Fatal(held, err)
	}
	n.do(func() error {
		if did, err := n.state().Remove(owner, held[owner].Since); !did || err != nil {
			t.Errorf("not removed: %v, %v", did, err)
		}
		return nil
	})
	if n.links() != 0 || n.held() != 0 {
		t.Errorf("%d links and %d addresses left", n.links(), n.held())
	}
}

func TestFailedAddLeavesNoNote(t *testing.T) {
	n := newNode(t)
	n.conf["subnets"] = []string{"10.77.0.0/30"} // one address for pods
	n.pod("a", nil)
	for range 2 {
		err := n.ns.Do(func() error {
			ns, err := netns.New()
			if err != nil {
				return err
			}
			defer ns.Close()
			_, _, err = Add(n.args("b", ns, nil))
			return err
		})
		if !errors.Is(err, ipam.ErrFull) {
			t.Fatal(err)
		}
	}
	notes, err := ReadAttachments(n.state().Dir)
	if err != nil || len(notes) != 1 {
		t.Errorf("notes: %v, %v", notes, err)
	}
	if _, err := readAttachment(attachmentFile(n.state().Dir, ipam.Owner{Container: "b", Interface: "eth0"})); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestReservedPort: the host's own ports are refused, and traffic to them stays the host's
// even if a pod has one from before.
func TestReservedPort(t *testing.T) {
	n := newNode(t)
	client, _ := n.pod("client", nil)
	port := func(p int, proto string) map[string]any {
		return map[string]any{"runtimeConfig": map[string]any{"portMappings": []map[string]any{{"HostPort": p, "ContainerPort": 80, "Protocol": proto}}}}
	}
	old, _ := n.pod("old", port(6443, "tcp")) // before the port was reserved
	serve(t, old, ":80")
	serve(t, n.ns, ":6443")
	n.conf["reservedPorts"] = []map[string]any{{"protocol": "TCP", "port": 6443}}
	for _, p := range []map[string]any{port(6443, "tcp"), port(6443, "TCP")} {
		err := n.ns.Do(func() error {
			ns, err := netns.New()
			if err != nil {
				return err
			}
			defer ns.Close()
			_, _, err = Add(n.args("thief", ns, p))
			return err
		})
		var cniErr *types.Error
		if !errors.As(err, &cniErr) || cniErr.Code != types.ErrInvalidNetworkConfig || !strings.Contains(err.Error(), "6443") {
			t.Fatalf("got %v", err)
		}
	}
	if n.held() != 2 || n.links() != 2 {
		t.Errorf("the refused ADD left something: %d addresses, %d links", n.held(), n.links())
	}
	n.pod("udp", port(6443, "udp"))
	// The table is made anew with the reserved port, as the agent does; the old pod's element too.
	n.do(func() error {
		k, err := nft.Open(nft.Table{Family: nft.IPv4, Name: "hyperkube"})
		if err != nil {
			return err
		}
		return errors.Join(k.Delete(), k.Close())
	})
	n.pod("other", port(8080, "tcp"))
	for from, ns := range map[string]*netns.NS{"node": n.ns, "pod": client} {
		seen, err := ask(ns, "10.77.0.1:6443")
		if err != nil || seen == "" {
			t.Errorf("from %s: %q, %v", from, seen, err)
		}
	}
	n.do(func() error {
		k, err := nft.Open(nft.Table{Family: nft.IPv4, Name: "hyperkube"})
		if err != nil {
			return err
		}
		defer k.Close()
		have, err := k.Read()
		if err != nil {
			return err
		}
		if got := len(have.Sets["hostports"].Elements); got != 2 { // udp 6443 and tcp 8080
			t.Errorf("%d host ports in a table that was made anew, want those of both other pods", got)
		}
		return nil
	})
}

package network

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
	"hyperkube/internal/netns"
	"hyperkube/network/bridge"
	"hyperkube/network/cni"
	"hyperkube/network/ipam"
)

// linked reports whether a pod has its link.
func (a *testAgent) linked(id string) (there bool) {
	a.t.Helper()
	in(a.t, a.ns, func() (err error) {
		there, err = linkThere(bridge.PortName(id, "eth0"))
		return err
	})
	return there
}

func linkThere(name string) (bool, error) {
	link, err := dump.Link(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	return err == nil && link.Type() == "veth", err
}

// answers reports whether a pod is reached from the node.
func (a *testAgent) answers(ip string) error {
	return a.ns.Do(func() error {
		c, err := net.DialTimeout("tcp", ip+":80", 200*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

// TestPodsLinkIsHealed hurts a pod's link in every way that leaves it there.
func TestPodsLinkIsHealed(t *testing.T) {
	a := startAgent(t, nil, nil)
	pod := namespace(t)
	ip := join(t, a.ns, pod, a.o, "a")
	tellCaller(t, pod)
	port := bridge.PortName("a", "eth0")
	hurt := []struct {
		what string
		ns   *netns.NS
		how  func() error
	}{
		{"down", a.ns, func() error { return setDown(port) }},
		{"not joined", a.ns, func() error {
			l, err := netlink.LinkByName(port)
			if err != nil {
				return err
			}
			return netlink.LinkSetNoMaster(l)
		}},
		{"bridge gone", a.ns, func() error {
			l, err := netlink.LinkByName(DefaultBridge)
			if err != nil {
				return err
			}
			return netlink.LinkDel(l)
		}},
		{"bridge down", a.ns, func() error { return setDown(DefaultBridge) }},
		{"joined to another bridge", a.ns, func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "other"
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				return err
			}
			l, err := netlink.LinkByName(port)
			if err != nil {
				return err
			}
			br, err := netlink.LinkByName("other")
			if err != nil {
				return err
			}
			return netlink.LinkSetMaster(l, br)
		}},
		{"pod's end down, which takes its routes", pod, func() error { return setDown("eth0") }},
	}
	for _, h := range hurt {
		in(t, h.ns, h.how)
		eventually(t, h.what, func() error { return a.answers(ip) })
		if !a.linked("a") {
			t.Errorf("%s: counts as dead", h.what)
		}
	}
	if s := a.log.String(); strings.Contains(s, "WARN") {
		t.Error(s)
	}
}

// TestPodThatKeepsItsLinkDown may do so, but does not keep the agent busy.
func TestPodThatKeepsItsLinkDown(t *testing.T) {
	n := &Network{repaired: map[string]time.Time{}}
	repairs := 0
	for range 100 {
		if n.mayRepair("x") {
			repairs++
		}
	}
	if repairs != 1 || n.healAgain.IsZero() || time.Until(n.healAgain) > repairPause {
		t.Errorf("%d repairs at once, again at %s", repairs, n.healAgain)
	}
	n.repaired["x"] = time.Now().Add(-repairPause)
	n.repaired["old"] = time.Now().Add(-time.Hour)
	if !n.mayRepair("x") || len(n.repaired) != 1 {
		t.Errorf("never again; remembered: %v", n.repaired)
	}
}

// TestLostLinkIsReported: what cannot be healed is told, once, and keeps nothing else from being set up.
func TestLostLinkIsReported(t *testing.T) {
	a := startAgent(t, nil, nil)
	ports := map[string]func(pod *netns.NS, file string) error{
		"deleted": func(*netns.NS, string) error {
			return a.ns.Do(func() error { return bridge.Detach(bridge.PortName("deleted", "eth0")) })
		},
		"deleted inside": func(pod *netns.NS, _ string) error {
			return pod.Do(func() error { return bridge.Detach("eth0") })
		},
		"namespace file unmounted": func(_ *netns.NS, file string) error { return syscall.Unmount(file, unix.MNT_DETACH) },
		"namespace file removed":   func(_ *netns.NS, file string) error { return netns.Remove(file) },
		"moved away": func(pod *netns.NS, _ string) error {
			other := namespace(t)
			return pod.Do(func() error {
				l, err := netlink.LinkByName("eth0")
				if err != nil {
					return err
				}
				return netlink.LinkSetNsFd(l, other.Fd())
			})
		},
	}
	for id, hurt := range ports {
		id = strings.ReplaceAll(id, " ", "-")
		pod := namespace(t)
		file := mounted(t, pod, t.TempDir())
		joinAt(t, a.ns, file, a.o, id)
		if !a.linked(id) {
			t.Fatalf("%s: no link from the start", id)
		}
		if err := hurt(pod, file); err != nil {
			t.Fatal(id, err)
		}
	}
	eventually(t, "telling", func() error {
		if s := a.log.String(); !strings.Contains(s, "container=deleted\n") || !strings.Contains(s, "container=deleted-inside\n") {
			return errors.New(s)
		}
		return nil
	})
	if s := a.log.String(); strings.Count(s, "container=deleted\n") != 1 || strings.Contains(s, "setting up the pod network fails") {
		t.Errorf("told more than once, or it kept the rest from being set up:\n%s", s)
	}
}

// TestRemovedPodIsNotLost: a pod under removal, whose link goes before the note of it, is nobody's trouble.
func TestRemovedPodIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := &Network{o: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, lostLinks: prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})}
		look := func(lost ...string) float64 {
			n.healAgain = time.Time{}
			set := map[string]bool{}
			for _, name := range lost {
				set[name] = true
			}
			n.tellLost(set, nil)
			var m dto.Metric
			if err := n.lostLinks.Write(&m); err != nil {
				t.Fatal(err)
			}
			return m.GetGauge().GetValue()
		}
		if look("removed", "lost") != 0 || time.Until(n.healAgain) != lostAfter {
			t.Errorf("counted at once, or no second look: %s", n.healAgain)
		}
		time.Sleep(lostAfter / 2)
		look("lost") // the note of the other has gone too
		if n.healAgain.IsZero() {
			t.Error("no second look")
		}
		time.Sleep(lostAfter)
		for range 3 {
			if look("lost", "removed") != 1 {
				t.Error("what is lost is not counted, or more than that")
			}
		}
		if s := log.String(); strings.Count(s, "link=lost") != 1 || strings.Contains(s, "link=removed") {
			t.Errorf("told:\n%s", s)
		}
	})
}

// TestLinkOfAnOlderVersion: a link is healed of which there is no note.
func TestLinkOfAnOlderVersion(t *testing.T) {
	a := startAgent(t, nil, nil)
	join(t, a.ns, namespace(t), a.o, "a")
	if err := os.RemoveAll(filepath.Join(a.o.StateDir, "attachments")); err != nil {
		t.Fatal(err)
	}
	in(t, a.ns, func() error { return setDown(bridge.PortName("a", "eth0")) })
	eventually(t, "healing", func() error {
		return a.ns.Do(func() error {
			l, err := netlink.LinkByName(bridge.PortName("a", "eth0"))
			if err == nil && l.Attrs().Flags&net.FlagUp == 0 {
				err = errors.New("down")
			}
			return err
		})
	})
}

// holdAdd leaves what an ADD has made that is at work, and returns what ends it as a kill
// would.
func holdAdd(t *testing.T, stateDir, id string) (release func()) {
	t.Helper()
	pool, err := ipam.Open(cni.AddressDir(stateDir))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Allocate(podRange, ipam.Owner{Container: id, Interface: "eth0"}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(stateDir, "attachments"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(stateDir, "attachments", bridge.PortName(id, "eth0")+".json"))
	if err == nil {
		_, err = fmt.Fprintf(f, `{"owner":{"Container":%q,"Interface":"eth0"}}`, id)
	}
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

// mounted binds a namespace to a file as runtimes do.
func mounted(t *testing.T, ns *netns.NS, dir string) string {
	t.Helper()
	file := filepath.Join(dir, cni.NetnsPrefix+"0a1b")
	mountAt(t, ns, file)
	return file
}

func mountAt(t *testing.T, ns *netns.NS, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(ns.Path(), file, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netns.Remove(file) })
}

// TestRenamedBridgeIsTold: the bridge is made anew, and the other that has its address is named
// until it is gone, when pods are reached again.
func TestRenamedBridgeIsTold(t *testing.T) {
	a := startAgent(t, nil, nil)
	pod := namespace(t)
	ip := join(t, a.ns, pod, a.o, "a")
	tellCaller(t, pod)
	eventually(t, "the pod's answer", func() error { return a.answers(ip) })
	in(t, a.ns, func() error {
		l, err := netlink.LinkByName(DefaultBridge)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetDown(l), netlink.LinkSetName(l, "mine"), netlink.LinkSetUp(l))
	})
	eventually(t, "word of the other link", func() error {
		if s := a.log.String(); !strings.Contains(s, "another link has the address of the pods' bridge") || !strings.Contains(s, "link=mine") {
			return errors.New(s)
		}
		return nil
	})
	in(t, a.ns, func() error {
		l, err := netlink.LinkByName("mine")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	eventually(t, "the pod's answer again", func() error { return a.answers(ip) })
}

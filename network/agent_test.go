package network

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"hyperkube/internal/netns"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// testAgent runs an agent in a namespace of its own until the test ends.
type testAgent struct {
	t    *testing.T
	ns   *netns.NS
	o    Options
	n    *Network
	log  *logged
	stop func()
}

func startAgent(t *testing.T, change func(*Options), before func(*Network)) *testAgent {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	a := &testAgent{t: t, ns: namespace(t), log: &logged{}}
	dir := t.TempDir()
	a.o = Options{NodeName: "me", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.3.0/24")}, ConfDir: filepath.Join(dir, "net.d"), StateDir: filepath.Join(dir, "state"),
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}, Log: a.log.logger()}
	if change != nil {
		change(&a.o)
	}
	n, err := New(a.o)
	if err != nil {
		t.Fatal(err)
	}
	if a.n = n; before != nil {
		before(n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.ns.Do(func() error { return n.Run(ctx) }) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(a.stop)
	select {
	case <-n.Ready():
	case <-time.After(patience):
		t.Fatalf("not ready:\n%s", a.log)
	}
	return a
}

// TestNoDefaultRoute: a host without any link to the outside has a pod network all the
// same.
func TestNoDefaultRoute(t *testing.T) {
	a := startAgent(t, nil, nil)
	pod, other := namespace(t), namespace(t)
	join(t, a.ns, pod, a.o, "a")
	ip := join(t, a.ns, other, a.o, "b")
	tellCaller(t, other)
	if seen := caller(t, pod, ip+":80"); !strings.HasPrefix(seen, "10.77.3.") {
		t.Errorf("another pod saw %s", seen)
	}
	if s := a.log.String(); strings.Contains(s, "WARN") || strings.Contains(s, "ERROR") {
		t.Error(s)
	}
}

// TestServicesWithoutDefaultRoute: the node itself can call services, and no longer by our
// route once it has a default one.
func TestServicesWithoutDefaultRoute(t *testing.T) {
	a := startAgent(t, func(o *Options) {
		o.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.32.0.0/16"), netip.MustParsePrefix("fd00:32::/112")}
	}, nil)
	way := func() (link string, err error) {
		err = a.ns.Do(func() error {
			routes, err := netlink.RouteGet(net.ParseIP("10.32.0.1"))
			if err != nil {
				return err
			}
			l, err := netlink.LinkByIndex(routes[0].LinkIndex)
			if err == nil {
				link = l.Attrs().Name
			}
			return err
		})
		return link, err
	}
	eventually(t, "a way to services", func() error {
		link, err := way()
		if err == nil && link != DefaultBridge {
			err = errors.New(link)
		}
		return err
	})
	in(t, a.ns, func() error {
		if err := uplink(); err != nil {
			return err
		}
		l, err := netlink.LinkByName("up0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP("192.168.7.2")})
	})
	eventually(t, "the default route", func() error {
		link, err := way()
		if err == nil && link != "up0" {
			err = errors.New(link)
		}
		return err
	})
}

// TestConfigurationComesBack: the CNI configuration is deleted, changed, and its whole
// directory removed while the agent runs.
func TestConfigurationComesBack(t *testing.T) {
	a := startAgent(t, nil, nil)
	path := filepath.Join(a.o.ConfDir, ConfName)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, hurt := range map[string]func() error{
		"deleted":  func() error { return os.Remove(path) },
		"changed":  func() error { return os.WriteFile(path, []byte("{}"), 0o644) },
		"replaced": func() error { return errors.Join(os.WriteFile(path+".x", nil, 0o600), os.Rename(path+".x", path)) },
		"directory removed": func() (err error) {
			for err = syscall.ENOTEMPTY; errors.Is(err, syscall.ENOTEMPTY); { // the agent may be quicker
				err = os.RemoveAll(a.o.ConfDir)
			}
			return err
		},
		"directory moved away": func() error { return os.Rename(a.o.ConfDir, filepath.Join(t.TempDir(), "moved")) },
		"moved away":           func() error { return os.Rename(path, path+".bak") },
	} {
		for range 2 {
			if err := hurt(); err != nil {
				t.Fatal(err)
			}
			eventually(t, what, func() error {
				have, err := os.ReadFile(path)
				if err == nil && !bytes.Equal(have, want) {
					err = errors.New("differs")
				}
				return err
			})
		}
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	good := Options{NodeName: "me", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.3.0/24")}, StateDir: "/x", Log: slog.New(slog.DiscardHandler)}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"state directory":             func(o *Options) { o.StateDir = "data/cni" },
		"CNI configuration directory": func(o *Options) { o.ConfDir = "net.d" },
		"bridge":                      func(o *Options) { o.Bridge = "a-name-that-is-too-long" },
		"needs":                       func(o *Options) { o.NodeName = "" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func setDown(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetDown(l)
}

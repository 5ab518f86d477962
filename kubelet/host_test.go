package kubelet

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hyperkube/internal/netns"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
	"hyperkube/kubelet/admit"
	"hyperkube/kubelet/objects"
	"hyperkube/kubelet/podworker"
	"hyperkube/kubelet/status"
)

// TestListening: the kernel's tables are read right, and who belongs to a pod is told.
func TestListening(t *testing.T) {
	proc := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	line := func(ip string, port int, state, inode string) string {
		raw := netip.MustParseAddr(ip).AsSlice()
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4]) // as a little-endian machine shows it
		}
		return fmt.Sprintf("   0: %s:%04X 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %s 1 0 100 0 0 10 0\n",
			strings.ToUpper(hex.EncodeToString(raw)), port, state, inode)
	}
	head := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	write("thread-self/net/tcp", head+line("127.0.0.1", 2379, "0A", "11")+line("0.0.0.0", 8080, "0A", "12")+line("192.0.2.1", 40000, "01", "13"))
	write("thread-self/net/tcp6", head+line("::", 6443, "0A", "14")+line("::ffff:192.0.2.1", 443, "0A", "15"))
	write("thread-self/net/udp", head+line("0.0.0.0", 53, "07", "16")+line("0.0.0.0", 40001, "07", "17"))
	write("sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
	for pid, cgroup := range map[string]string{"100": "0::/system.slice/x\n", "200": "0::/kubepods/burstable/podabc/def\n", "300": "0::/kubepods/burstable/podghi/def\n"} {
		write(pid+"/cgroup", cgroup)
		if err := os.MkdirAll(filepath.Join(proc, pid, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, space := range map[string]string{"thread-self": "net:[1]", "100": "net:[1]", "200": "net:[1]", "300": "net:[2]"} {
		if err := os.MkdirAll(filepath.Join(proc, name, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(space, filepath.Join(proc, name, "ns/net")); err != nil {
			t.Fatal(err)
		}
	}
	// One of a network of its own is not looked at, however many files it has.
	for path, inode := range map[string]string{"100/fd/3": "11", "200/fd/3": "12", "100/fd/4": "16", "300/fd/3": "16"} {
		if err := os.Symlink("socket:["+inode+"]", filepath.Join(proc, path)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := hostListeners(proc)
	if err != nil {
		t.Fatal(err)
	}
	want := []admit.Port{{Protocol: "TCP", IP: "127.0.0.1", Port: 2379}, {Protocol: "TCP", IP: "::", Port: 6443}, {Protocol: "TCP", IP: "192.0.2.1", Port: 443}, {Protocol: "UDP", IP: "0.0.0.0", Port: 53}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	of := []socket{{inode: "12"}}
	for most, want := range map[int]int{0: 0, 1: 1} { // what is not looked at is not a pod's
		if got, err := podSockets(proc, of, most); err != nil || len(got) != want {
			t.Errorf("of %d files: %v, %v", most, got, err)
		}
	}
}

// TestOwnListener: what this very process listens on is found.
func TestOwnListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, err := hostListeners("/proc")
	if err != nil {
		t.Fatal(err)
	}
	if want := (admit.Port{Protocol: "TCP", IP: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port)}); !slices.Contains(got, want) {
		t.Errorf("%v is not among %v", want, got)
	}
}

// TestPlugged: a namespace whose port is gone or down is told from one that has it.
func TestPlugged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	host, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	within := func(n *netns.NS, f func() error) {
		t.Helper()
		if err := n.Do(f); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name string) netlink.Link {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	check := func(what string, want bool) {
		t.Helper()
		deadline := time.Now().Add(5 * time.Second) // the kernel tells of carriers a moment later
		for {
			got, err := plugged(ns.Path())
			if err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: plugged is %v", what, got)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	within(ns, func() error { return netlink.LinkSetUp(link("lo")) })
	check("loopback alone", false)
	within(host, func() error {
		v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())}
		if err := netlink.LinkAdd(v); err != nil {
			return err
		}
		return netlink.LinkSetUp(link("port"))
	})
	within(ns, func() error { return netlink.LinkSetUp(link("eth0")) })
	check("a port", true)
	within(host, func() error { return netlink.LinkSetDown(link("port")) })
	check("a port that is down", false)
	within(host, func() error { return netlink.LinkSetUp(link("port")) })
	check("a port that is up again", true)
	within(host, func() error { return netlink.LinkDel(link("port")) })
	check("no port", false)
}

func TestNamespacePath(t *testing.T) {
	for info, want := range map[string]string{
		`{"pid":1,"runtimeSpec":{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/cni-1"}]}}}`: "/run/netns/cni-1",
		`{"runtimeSpec":{"linux":{"namespaces":[{"type":"pid"}]}}}`:                                                      "",
		`{}`: "", ``: "",
	} {
		if got := namespacePath(info); got != want {
			t.Errorf("%s: %q", info, got)
		}
	}
}

// TestNodeName: a name under which a node cannot register is refused at once, and capitals are made small.
func TestNodeName(t *testing.T) {
	api := newAPI()
	for name, want := range map[string]string{
		"node-1": "node-1", "Node-1": "node-1", " node.example ": "node.example", strings.Repeat("a", 63): strings.Repeat("a", 63),
		"a_b": "", "a b": "", "-a": "", "a..b": "", strings.Repeat("a", 64): "", "a/b": "", "ä": "",
	} {
		o := Options{NodeName: name, Kube: api, Informers: kit.NewInformers(api, nil), RuntimeEndpoint: "/run/none"}
		err := o.complete()
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "cannot be the name of a node") {
				t.Errorf("%q: %v", name, err)
			}
		} else if err != nil || o.NodeName != want {
			t.Errorf("%q: %q %v", name, o.NodeName, err)
		}
	}
}

// TestReplaced: a list that shows another pod under a name tells of the first one's end too.
func TestReplaced(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	ctx, cancel := context.WithCancel(t.Context())
	api, dir := newAPI(), t.TempDir()
	k, err := New(Options{NodeName: "n", Kube: api, Informers: kit.NewInformers(api, nil), RuntimeEndpoint: filepath.Join(dir, "none.sock"), RootDir: dir, LogDir: filepath.Join(dir, "logs"),
		NoCgroups: true, Port: -1, NodeIPs: []string{"192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	k.objects = objects.New(ctx, k.o.Informers.Source(), k.o.Log, func([]types.UID) {})
	k.workers = podworker.NewManager(ctx, k.deps(), func(*v1.Pod, []*v1.Pod) *status.Final { return nil })
	pod := func(uid types.UID) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: uid}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "a"}}}}
	}
	a, b := pod("a"), pod("b")
	k.update(nil, a, nil)
	k.update(a, b, nil)
	deadline := time.Now().Add(20 * time.Second)
	for k.workers.Has("a") {
		if time.Now().After(deadline) {
			t.Fatal("the first pod stays")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !k.workers.Has("b") {
		t.Error("the second pod is not there")
	}
	cancel()
	k.workers.Wait()
	k.statuses.Wait()
	k.objects.Wait()
}

// TestLooks: only what two looks find without its network is acted on, and what cannot be looked at counts as well.
func TestLooks(t *testing.T) {
	answers := map[string]error{"dead": nil, "odd": errors.New("no such sandbox")}
	c := &networkCheck{told: trouble.New(slog.New(slog.DiscardHandler), nil, "looking"), ok: func(_ context.Context, id string) (bool, error) {
		err, known := answers[id]
		return !known, err
	}}
	got := c.lost(t.Context(), map[types.UID]string{"a": "dead", "b": "odd", "c": "fine"})
	if len(got) != 1 || got["a"] != "dead" {
		t.Errorf("%v", got)
	}
}

// TestAttempts: a pod whose network does not come back is rebuilt more and more seldom.
func TestAttempts(t *testing.T) {
	a, now, n := attempts{}, time.Now(), 0
	for range 3600 {
		if now = now.Add(time.Second); a.may("u", now) {
			n++
		}
	}
	if n != 11 {
		t.Errorf("rebuilt %d times in an hour", n)
	}
	if now = now.Add(time.Hour); !a.may("u", now) || !a.may("other", now) {
		t.Error("what was well for an hour is not rebuilt")
	}
	if now = now.Add(time.Hour); !a.may("third", now) || len(a) != 1 {
		t.Errorf("remembers %v", a)
	}
}

// TestFollowLinks: a link that goes is told of.
func TestFollowLinks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	ctx, cancel := context.WithCancel(t.Context())
	kick, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		followLinks(ctx, kick, trouble.New(slog.New(slog.DiscardHandler), nil, "listening"))
		close(done)
	}()
	name := fmt.Sprintf("hkt%d", os.Getpid())
	deadline := time.After(20 * time.Second)
	for told := false; !told; { // the first may go before anyone listens
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
		if err := netlink.LinkAdd(pair); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(pair); err != nil {
			t.Fatal(err)
		}
		select {
		case <-kick:
			told = true
		case <-deadline:
			t.Fatal("nothing was told")
		case <-time.After(50 * time.Millisecond):
		}
	}
	cancel()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}

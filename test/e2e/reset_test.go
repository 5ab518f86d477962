package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"hyperkube/test/harness"
)

// TestReset: what the host looks like before up and after reset is the same.
func TestReset(t *testing.T) {
	h := harness.NewHost(t)
	before := listing(t, h)
	c := harness.UpOn(t, h)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("create", "deployment", "web", "--image="+nginx+"v1", "--replicas=2")
	k.ok("expose", "deployment", "web", "--port=80", "--type=NodePort")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	// By name, with a tool of the busybox image.
	k.ok("run", "asks", "--image=hyperkube.test/busybox:v1", "--restart=Never", "--command", "--", "wget", "-qO-", "http://web.default.svc.cluster.local/healthz")
	k.ok("wait", "pod/asks", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
	k.says("ok", "logs", "asks")
	during := listing(t, h)
	if cmp.Equal(before, during) {
		t.Fatal("a running cluster shows nowhere: the listing looks at the wrong things")
	}
	// Once after a clean run, once after a kill: both must leave nothing.
	c.Reset()
	if diff := cmp.Diff(before, listing(t, h)); diff != "" {
		t.Errorf("after reset (-before +after):\n%s", diff)
	}
	c.Up()
	c.LoadImages()
	k.ok("create", "deployment", "web", "--image="+nginx+"v1", "--replicas=2")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")
	c.Kill()
	// By another name of the data directory, which is the same cluster.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(c.DataDir, link); err != nil {
		t.Fatal(err)
	}
	c.Run(2*time.Minute, c.Bin, "reset", "--yes", "--data-dir", link)
	if diff := cmp.Diff(before, listing(t, h)); diff != "" {
		t.Errorf("after kill -9 and reset (-before +after):\n%s", diff)
	}
}

// listing is what a host shows of a cluster, one line a thing.
func listing(t *testing.T, h *harness.Host) []string {
	t.Helper()
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	err := h.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			add("link %s %s", l.Attrs().Name, l.Type())
		}
		addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			add("address %s", a.IPNet)
		}
		routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, r := range routes {
			add("route %v via %v", r.Dst, r.Gw)
		}
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := conn.ListTables()
		for _, table := range tables {
			add("nftables %s", table.Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet"} {
		add("sysctl %s %s", name, strings.TrimSpace(h.Run(5e9, "cat", "/proc/sys/"+strings.ReplaceAll(name, ".", "/"))))
	}
	for line := range strings.Lines(h.Run(5e9, "cat", "/proc/self/mountinfo")) {
		if w := strings.Fields(line); len(w) > 4 {
			add("mount %s", w[4])
		}
	}
	// Other tests' hosts share cgroups and processes with this one: count only
	// what carries this host's folder or its cluster's id.
	for _, c := range cgroups(t) {
		if strings.Contains(c, harness.ShortID(filepath.Join(h.Dir, "data"))) {
			add("cgroup %s", c)
		}
	}
	for _, p := range processes(h.Dir) {
		add("process %s", p)
	}
	mine := "/run/hyperkube/" + harness.ShortID(filepath.Join(h.Dir, "data"))
	for _, dir := range []string{h.Dir, "/run", "/var/lib/hyperkube", "/etc/cni", "/opt/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"} {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && notOurs(p, mine) {
				return fs.SkipDir
			}
			if err == nil && p != h.Dir {
				add("file %s", p)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}

// notOurs are the parts of /run in which the host's own daemons and other clusters keep
// what comes and goes.
func notOurs(path, mine string) bool {
	if other, ok := strings.CutPrefix(path, "/run/hyperkube"); ok {
		return other != "" && path != mine && !strings.HasPrefix(path, mine+"/")
	}
	return slices.Contains([]string{"/run/systemd", "/run/udev", "/run/user", "/run/lock", "/run/log", "/run/dbus", "/run/docker"}, path)
}

func cgroups(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			out = append(out, p)
		}
		return nil // groups of others come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func processes(mark string) []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(d, "cmdline"))
		if err == nil && strings.Contains(string(b), mark) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hyperkube/internal/dump"
)

// Preflight finds what would keep a cluster from running here and reports all of
// it at once, each with its next step. It changes nothing but limits of this process.
func (o *Options) Preflight() error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := o.Settle(); err != nil {
		return err
	}
	var errs []error
	errs = append(errs, checkKernel(), checkCgroups(), checkLimits(), checkDisk(o.DataDir))
	if o.NodeIP == "" {
		ip, err := hostAddress(o.Bridge)
		if err != nil {
			errs = append(errs, err)
		}
		o.NodeIP = ip
	}
	for _, p := range []struct {
		what, flag, addr string
		port             int
	}{
		{"API server", "--port", o.BindAddress, o.APIPort}, {"kubelet", "--kubelet-port", "", o.KubeletPort},
		{"proxy health", "--proxy-port", "", o.ProxyPort}, {"metrics", "--metrics-port", "127.0.0.1", o.MetricsPort},
	} {
		if err := portFree(p.addr, p.port); err != nil {
			errs = append(errs, fmt.Errorf("port %d for the %s is in use%s: free it or choose another with %s", p.port, p.what, holderOf(p.port), p.flag))
		}
	}
	return errors.Join(errs...)
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: run this with sudo")
	}
	return nil
}

func checkKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("reading the kernel version: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("reading the kernel version %q: %w", release, err)
	}
	if major < 5 || major == 5 && minor < 13 {
		return fmt.Errorf("kernel %s is too old: 5.13 or newer is needed for nftables as it is used here", release)
	}
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("reading /proc/filesystems: %w", err)
	}
	if !strings.Contains(string(b), "overlay") {
		return errors.New("the kernel has no overlay file system: load it with `modprobe overlay`")
	}
	return nil
}

// checkCgroups wants the controllers that pods are limited with, in either version.
func checkCgroups() error {
	if b, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		for _, c := range []string{"cpu", "memory", "pids"} {
			if !strings.Contains(" "+strings.TrimSpace(string(b))+" ", " "+c+" ") {
				return fmt.Errorf("cgroup controller %s is not available in /sys/fs/cgroup: enable it on the kernel command line or in the parent cgroup", c)
			}
		}
		return nil
	}
	for _, c := range []string{"cpu", "memory", "pids", "devices", "freezer"} {
		if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", c)); err != nil {
			return fmt.Errorf("cgroup controller %s is not mounted at /sys/fs/cgroup/%s: mount it or switch the host to cgroup v2", c, c)
		}
	}
	return nil
}

func portFree(addr string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// holderOf names the process that listens on port, when it can be found.
func holderOf(port int) string {
	inode := listeningInode(port)
	if inode == "" {
		return ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == "socket:["+inode+"]" {
			pid := strings.Split(l, "/")[2]
			name, err := os.ReadFile("/proc/" + pid + "/comm")
			if err != nil {
				return " by process " + pid
			}
			return fmt.Sprintf(" by %s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

func listeningInode(port int) string {
	suffix := fmt.Sprintf(":%04X", port)
	for _, f := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			w := strings.Fields(line)
			if len(w) > 9 && strings.HasSuffix(w[1], suffix) && w[3] == "0A" {
				return w[9]
			}
		}
	}
	return ""
}

// hostAddress is the address that others reach this machine by: that of the
// default route, else the first global one. The bridge of pods, which an earlier run has
// left, leads nobody here.
func hostAddress(bridge string) (string, error) {
	routes, err := dump.Routes(netlink.FAMILY_V4, nil, 0)
	if err != nil {
		return "", fmt.Errorf("reading routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if r.Src != nil {
			return r.Src.String(), nil
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			if ip := firstGlobal(link, bridge); ip != "" {
				return ip, nil
			}
		}
	}
	if ip := firstGlobal(nil, bridge); ip != "" {
		return ip, nil
	}
	return "", errors.New("this machine has no IPv4 address but loopback: give one to an interface or name one with --node-ip")
}

func firstGlobal(link netlink.Link, except string) string {
	addrs, err := dump.Addrs(link, netlink.FAMILY_V4)
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if l, err := netlink.LinkByIndex(a.LinkIndex); err == nil && l.Attrs().Name == except {
			continue
		}
		if a.Scope == int(netlink.SCOPE_UNIVERSE) && !a.IP.IsLoopback() {
			return a.IP.String()
		}
	}
	return ""
}

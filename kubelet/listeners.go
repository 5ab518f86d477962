package kubelet

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/admit"
)

// socket is one that something listens on in the node's network namespace.
type socket struct {
	admit.Port
	inode string
}

// hostListeners are the ports on which the host's own processes listen: the API server's, etcd's, the kubelet's and
// whatever else is there. Those of pods are left out: pods are told apart by their own rules, and come and go.
func hostListeners(proc string) ([]admit.Port, error) {
	all, err := listening(proc)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	pods, err := podSockets(proc, all, bounds.Descriptors)
	if err != nil {
		return nil, err
	}
	var out []admit.Port
	for _, s := range all {
		if !pods[s.inode] {
			out = append(out, s.Port)
		}
	}
	return out, nil
}

// listening reads the kernel's tables of sockets, as the calling thread sees them: the process's first thread may be stuck in
// another namespace.
func listening(proc string) ([]socket, error) {
	low := ephemeralFrom(proc)
	var out []socket
	for _, t := range []struct {
		file     string
		protocol v1.Protocol
		state    string
	}{{"tcp", v1.ProtocolTCP, "0A"}, {"tcp6", v1.ProtocolTCP, "0A"}, {"udp", v1.ProtocolUDP, "07"}, {"udp6", v1.ProtocolUDP, "07"}} {
		f, err := os.Open(filepath.Join(proc, "thread-self", "net", t.file))
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("reading sockets: %w", err)
		}
		got, err := sockets(f, t.protocol, t.state)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("reading sockets of %s: %w", t.file, err)
		}
		for _, s := range got {
			if t.protocol == v1.ProtocolUDP && s.Port.Port >= low {
				continue // most likely a client's, for a moment
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// sockets reads one table: those in a state.
func sockets(r io.Reader, protocol v1.Protocol, state string) ([]socket, error) {
	var out []socket
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state {
			continue
		}
		ip, port, err := address(f[1])
		if err != nil {
			return nil, err
		}
		out = append(out, socket{admit.Port{Protocol: protocol, IP: ip.String(), Port: port}, f[9]})
	}
	return out, lines.Err()
}

// address reads the kernel's way of writing one: words of four bytes in the machine's order, and a port.
func address(s string) (netip.Addr, int32, error) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, 0, fmt.Errorf("address %q", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.Addr{}, 0, fmt.Errorf("address %q", s)
	}
	return ip.Unmap(), int32(n), nil
}

func ephemeralFrom(proc string) int32 {
	data, err := os.ReadFile(filepath.Join(proc, "sys/net/ipv4/ip_local_port_range"))
	if err == nil {
		if f := strings.Fields(string(data)); len(f) == 2 {
			if n, err := strconv.ParseInt(f[0], 10, 32); err == nil {
				return int32(n)
			}
		}
	}
	return 32768
}

// podSockets are the inodes, of those given, that processes of pods have open which are in the node's network namespace.
// Others have sockets of their own, and may have more processes and files than anyone can look through while pods wait.
// At most most files are looked at, and one process's more: what is not found to be a pod's counts as the host's.
func podSockets(proc string, of []socket, most int) (map[string]bool, error) {
	want := make(map[string]bool, len(of))
	for _, s := range of {
		want["socket:["+s.inode+"]"] = true
	}
	const space = "ns/net"
	ours, err := os.Readlink(filepath.Join(proc, "thread-self", space)) // of the tables that were read
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	out := map[string]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || most <= 0 {
			continue
		}
		process := filepath.Join(proc, e.Name())
		if its, err := os.Readlink(filepath.Join(process, space)); err != nil || its != ours || !inPod(filepath.Join(process, "cgroup")) {
			continue
		}
		dir := filepath.Join(process, "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // gone meanwhile
		}
		most -= len(fds)
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && want[to] {
				out[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
			}
		}
	}
	return out, nil
}

func inPod(file string) bool {
	data, err := os.ReadFile(file)
	return err == nil && strings.Contains(string(data), "/kubepods")
}

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Thresholds below which a node is under pressure, and which pods therefore cannot use.
const (
	memoryFloor    = 100 << 20
	diskFloorPart  = 10 // one tenth
	inodeFloorPart = 20 // one twentieth
)

// Machine is what does not change while the machine runs.
type Machine struct {
	CPUs             int64
	Memory           int64 // bytes
	Disk             int64 // bytes of the kubelet's file system
	Arch             string
	ID, UUID, BootID string
	Kernel, OS       string
	HugePages        map[string]int64
}

// ReadMachine reads the facts.
func ReadMachine(root string) (Machine, error) {
	m := Machine{CPUs: int64(runtime.NumCPU()), Arch: runtime.GOARCH}
	mem, err := meminfo()
	if err != nil {
		return m, err
	}
	m.Memory = mem["MemTotal"]
	var st unix.Statfs_t
	if err := os.MkdirAll(root, 0o750); err != nil {
		return m, err
	}
	if err := unix.Statfs(root, &st); err != nil {
		return m, fmt.Errorf("file system of %s: %w", root, err)
	}
	m.Disk = int64(st.Blocks) * st.Bsize
	m.ID = word("/etc/machine-id")
	m.UUID = word("/sys/class/dmi/id/product_uuid")
	if m.UUID == "" {
		m.UUID = m.ID
	}
	m.BootID = word("/proc/sys/kernel/random/boot_id")
	m.Kernel = word("/proc/sys/kernel/osrelease")
	m.OS = osName()
	m.HugePages = hugePages()
	return m, nil
}

func word(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func osName() string {
	for line := range strings.Lines(word("/etc/os-release")) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "Linux"
}

// meminfo reads /proc/meminfo in bytes.
func meminfo() (map[string]int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			out[strings.TrimSuffix(f[0], ":")] = n << 10
		}
	}
	return out, nil
}

func hugePages() map[string]int64 {
	const dir = "/sys/kernel/mm/hugepages"
	out := map[string]int64{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out
	}
	for _, e := range entries {
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB"), 10, 64)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(word(dir+"/"+e.Name()+"/nr_hugepages"), 10, 64)
		if err != nil {
			continue
		}
		q := resource.NewQuantity(kb<<10, resource.BinarySI)
		out["hugepages-"+q.String()] = n * kb << 10
	}
	return out
}

func (m Machine) capacity(o Options) v1.ResourceList {
	out := v1.ResourceList{
		v1.ResourceCPU:              *resource.NewQuantity(m.CPUs, resource.DecimalSI),
		v1.ResourceMemory:           *resource.NewQuantity(m.Memory, resource.BinarySI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(m.Disk, resource.BinarySI),
		v1.ResourcePods:             *resource.NewQuantity(o.MaxPods, resource.DecimalSI),
	}
	for name, n := range m.HugePages {
		out[v1.ResourceName(name)] = *resource.NewQuantity(n, resource.BinarySI)
	}
	return out
}

// allocatable is the capacity without what is reserved and without what eviction keeps free.
func (m Machine) allocatable(o Options) v1.ResourceList {
	out := m.capacity(o)
	sub := func(name v1.ResourceName, q resource.Quantity) {
		have := out[name]
		have.Sub(q)
		if have.Sign() < 0 {
			have = *resource.NewQuantity(0, have.Format)
		}
		out[name] = have
	}
	for name, q := range o.Reserved {
		sub(name, q)
	}
	sub(v1.ResourceMemory, *resource.NewQuantity(memoryFloor, resource.BinarySI))
	sub(v1.ResourceEphemeralStorage, *resource.NewQuantity(m.Disk/diskFloorPart, resource.BinarySI))
	for name, n := range m.HugePages {
		sub(v1.ResourceMemory, *resource.NewQuantity(n, resource.BinarySI))
		_ = name
	}
	return out
}

func (m Machine) info(version, runtimeVersion string) v1.NodeSystemInfo {
	return v1.NodeSystemInfo{
		MachineID: m.ID, SystemUUID: m.UUID, BootID: m.BootID, KernelVersion: m.Kernel, OSImage: m.OS,
		ContainerRuntimeVersion: runtimeVersion, KubeletVersion: version, OperatingSystem: "linux", Architecture: m.Arch,
	}
}

// Processes is how many processes and threads there may be on the machine whose files are
// below root: each has a number, and the kernel memory; 0 where it does not say. What runs
// in a control group of its own, as in a container, may have fewer.
func Processes(root string) int64 {
	most := int64(0)
	for _, file := range []string{"proc/sys/kernel/pid_max", "proc/sys/kernel/threads-max", "sys/fs/cgroup/pids.max", "sys/fs/cgroup/pids/pids.max"} {
		if n, err := strconv.ParseInt(word(filepath.Join(root, file)), 10, 64); err == nil && n > 0 && (most == 0 || n < most) {
			most = n
		}
	}
	return most
}

// Use is how scarce things are right now.
type Use struct{ MemoryLow, DiskLow, PIDsLow bool }

// ReadUse looks at the machine.
func ReadUse(root string) Use {
	var u Use
	if mem, err := meminfo(); err == nil {
		u.MemoryLow = mem["MemAvailable"] < memoryFloor
	}
	var st unix.Statfs_t
	if unix.Statfs(root, &st) == nil && st.Blocks > 0 {
		u.DiskLow = st.Bavail*diskFloorPart < st.Blocks || st.Files > 0 && st.Ffree*inodeFloorPart < st.Files
	}
	if most := Processes("/"); most > 0 {
		if f := strings.Fields(word("/proc/loadavg")); len(f) > 3 {
			if _, total, ok := strings.Cut(f[3], "/"); ok {
				n, _ := strconv.ParseInt(total, 10, 64)
				u.PIDsLow = most-n < most/100
			}
		}
	}
	return u
}

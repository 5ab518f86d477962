package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"hyperkube/internal/bounds"
	"hyperkube/kubelet/node"
	"hyperkube/network/bridge"
	"hyperkube/test/harness"
)

const busybox = "hyperkube.test/busybox:v1"

// TestNode: what a node refuses, frees and bears.
func TestNode(t *testing.T) {
	c := harness.Up(t)
	k := &client{c, t, []string{c.Bin, "kubectl"}}
	k.ok("create", "deployment", "web", "--image="+nginx+"v1", "--replicas=2")
	k.ok("rollout", "status", "deployment/web", "--timeout=60s")

	k.limited()
	k.completed()
	k.refused()
	k.restartAll()
	k.containerdKilled()
	k.unplugged()
	k.quiet()
}

func (k *client) pod(name string, edit func(*corev1.PodSpec)) {
	k.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64(1)),
		Containers: []corev1.Container{{Name: "main", Image: busybox, Command: []string{"sleep", "3600"}}}}}
	edit(&p.Spec)
	if _, err := k.Kube.CoreV1().Pods("default").Create(k.Context, p, metav1.CreateOptions{}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *client) shows(name, want string) {
	k.t.Helper()
	k.Eventually(60*time.Second, name+" "+want, func() error {
		out, err := k.try("get", "pod", name, "--no-headers")
		if err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
}

// limited: neither a pod nor all of them together can take all the processes that the host has.
func (k *client) limited() {
	k.t.Helper()
	uid := k.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.uid}")
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/pids"} {
		files, err := filepath.Glob(filepath.Join(root, "hyperkube-"+harness.ShortID(k.DataDir), "kubepods", "*", "pod"+uid, "pids.max"))
		if err != nil {
			k.t.Fatal(err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(bounds.PodProcesses) {
				k.t.Errorf("%s: %s, %v; want %d", f, b, err, bounds.PodProcesses)
			}
			all := filepath.Join(filepath.Dir(f), "..", "..", "pids.max")
			b, err := os.ReadFile(all)
			if n, e := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err != nil || e != nil || n <= 0 || n >= node.Processes("/") {
				k.t.Errorf("%s: %s, %v; want less than %d", all, b, err, node.Processes("/"))
			}
			return
		}
	}
	k.t.Error("no limit of processes is found")
}

// completed: pods that have ended leave their room to others, though they are still there.
func (k *client) completed() {
	k.t.Helper()
	node, err := k.Kube.CoreV1().Nodes().Get(k.Context, "node-1", metav1.GetOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	most := resource.NewMilliQuantity(node.Status.Allocatable.Cpu().MilliValue()*6/10, resource.DecimalSI)
	for i := range 3 {
		k.pod(fmt.Sprintf("job-%d", i), func(s *corev1.PodSpec) {
			s.Containers[0].Command = []string{"true"}
			s.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: *most}
		})
	}
	for i := range 3 {
		k.shows(fmt.Sprintf("job-%d", i), "Completed")
	}
}

// refused: ports of the control plane, kernel parameters, and more than there is.
func (k *client) refused() {
	k.t.Helper()
	k.pod("port", func(s *corev1.PodSpec) {
		s.NodeName = "node-1"
		s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 6443, HostPort: 6443}}
	})
	k.pod("sysctl", func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.core.somaxconn", Value: "1"}}}
	})
	k.pod("big", func(s *corev1.PodSpec) {
		s.NodeName = "node-1"
		s.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000")}
	})
	k.pod("late", func(s *corev1.PodSpec) {
		s.ActiveDeadlineSeconds = new(int64(2))
		s.Containers[0].Image = "127.0.0.1:1/none:v1"
	})
	k.pod("safe", func(s *corev1.PodSpec) {
		s.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.tcp_keepalive_time", Value: "100"}}}
		s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8099}}
	})
	k.shows("port", "NodePorts")
	k.shows("sysctl", "SysctlForbidden")
	k.shows("big", "OutOfcpu")
	k.shows("late", "ContainerStatusUnknown")
	k.shows("safe", "Running")
}

// restartAll: a sidecar has all containers begin anew in the same sandbox.
func (k *client) restartAll() {
	k.t.Helper()
	k.pod("again", func(s *corev1.PodSpec) {
		s.InitContainers = []corev1.Container{{Name: "init", Image: busybox, Command: []string{"true"}}, {Name: "side", Image: busybox, Command: []string{"sh", "-c", "sleep 2; exit 88"},
			RestartPolicy: new(corev1.ContainerRestartPolicyAlways), RestartPolicyRules: []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers,
				ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{88}}}}}}
	})
	k.Eventually(60*time.Second, "all containers restarted", func() error {
		out, err := k.try("get", "pod", "again", "-o", `jsonpath={.status.initContainerStatuses[0].restartCount} {.status.containerStatuses[0].restartCount} {.status.conditions[?(@.type=="AllContainersRestarting")].message}`)
		if err == nil && !strings.HasPrefix(out, "1 1 Container side exited with code 88") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	k.ok("delete", "pod", "again", "--wait=false")
}

// containerdKilled: a runtime that is back in seconds changes nothing that others see.
func (k *client) containerdKilled() {
	k.t.Helper()
	w, err := k.Kube.CoreV1().Nodes().Watch(k.Context, metav1.ListOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	defer w.Stop()
	before := k.ok("get", "pods", "-l", "app=web", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}{"\n"}{end}`)
	pid, err := k.PID("containerd.pid")
	if err != nil {
		k.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
	k.pod("after", func(*corev1.PodSpec) {})
	k.shows("after", "Running")
	for {
		select {
		case e := <-w.ResultChan():
			n, ok := e.Object.(*corev1.Node)
			if !ok {
				k.t.Fatalf("watching nodes: %v", e)
			}
			for _, c := range n.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
					k.t.Errorf("the node became not ready: %s", c.Message)
				}
			}
			continue
		default:
		}
		break
	}
	if after := k.ok("get", "pods", "-l", "app=web", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}{"\n"}{end}`); after != before {
		k.t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// unplugged: a pod whose port is gone gets a new sandbox, one whose port is down gets it up
// again; both are reached again.
func (k *client) unplugged() {
	k.t.Helper()
	for what, cut := range map[string]func(netlink.Link) error{"deleted": netlink.LinkDel, "down": netlink.LinkSetDown} {
		name := "cut-" + what
		k.pod(name, func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyAlways })
		k.shows(name, "Running")
		ip := k.ok("get", "pod", name, "-o", "jsonpath={.status.podIP}")
		if err := k.Do(func() error {
			if err := reached(ip); err != nil { // also so that its address is known
				return err
			}
			return cutPort(ip, cut)
		}); err != nil {
			k.t.Fatal(err)
		}
		began := time.Now()
		if what == "deleted" {
			k.Eventually(30*time.Second, "an event about the sandbox", func() error {
				out, err := k.try("get", "events", "--field-selector", "involvedObject.name="+name+",reason=SandboxChanged", "--no-headers")
				if err == nil && !strings.Contains(out, "SandboxChanged") {
					err = fmt.Errorf("%s", out)
				}
				return err
			})
			k.Eventually(60*time.Second, "the pod runs again", func() error {
				out, err := k.try("get", "pod", name, "--no-headers")
				if f := strings.Fields(out); err == nil && (len(f) < 4 || f[1] != "1/1" || f[3] == "0") {
					err = fmt.Errorf("%s", out)
				}
				return err
			})
		}
		k.Eventually(30*time.Second, "the pod is reached again", func() error {
			ip := k.ok("get", "pod", name, "-o", "jsonpath={.status.podIP}")
			return k.Do(func() error { return reached(ip) })
		})
		k.t.Logf("a pod whose port was %s was reached again after %v", what, time.Since(began))
		k.ok("exec", name, "--", "ip", "addr", "show", "eth0")
	}
}

// reached tells whether something answers at an address: a port on which nothing listens is
// refused by whoever has the address.
func reached(ip string) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip, "1"), time.Second)
	if err == nil {
		return conn.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return err
}

// cutPort does that to the port of the bridge behind which the pod with an address is.
func cutPort(ip string, cut func(netlink.Link) error) error {
	neighbours, err := netlink.NeighList(0, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	mac := ""
	for _, n := range neighbours {
		if n.IP.String() == ip {
			mac = n.HardwareAddr.String()
		}
	}
	entries, err := netlink.NeighList(0, syscall.AF_BRIDGE)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.HardwareAddr.String() != mac {
			continue
		}
		l, err := netlink.LinkByIndex(e.LinkIndex)
		if err == nil && strings.HasPrefix(l.Attrs().Name, bridge.PortPrefix) {
			return cut(l)
		}
	}
	return fmt.Errorf("no port of %s (%s)", ip, mac)
}

// quiet: a node on which nothing happens writes nothing but its lease, and what others write over its state is put
// right at once.
func (k *client) quiet() {
	k.t.Helper()
	version := func() string { return k.ok("get", "node", "node-1", "-o", "jsonpath={.metadata.resourceVersion}") }
	was := version()
	time.Sleep(25 * time.Second) // two looks
	if now := version(); now != was {
		k.t.Errorf("the node was written at %s and %s", was, now)
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		n, err := k.Kube.CoreV1().Nodes().Get(k.Context, "node-1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for i := range n.Status.Conditions {
			n.Status.Conditions[i].Status = corev1.ConditionUnknown
		}
		_, err = k.Kube.CoreV1().Nodes().UpdateStatus(k.Context, n, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.Eventually(10*time.Second, "a ready node", func() error {
		out, err := k.try("get", "node", "node-1", "--no-headers")
		if err == nil && !strings.Contains(out, " Ready ") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	log, err := os.ReadFile(filepath.Join(k.DataDir, "log", "hyperkube.log"))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, bad := range []string{"panic", "sending pod status fails"} {
		if strings.Contains(string(log), bad) {
			k.t.Errorf("the log tells of: %s", bad)
		}
	}
}

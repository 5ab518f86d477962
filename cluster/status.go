package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"hyperkube/internal/regular"
)

// Status is what `hyperkube status` tells.
type Status struct {
	DataDir    string
	PID        int // 0: not running
	Kubeconfig string
	Identity   *Identity
	Parts      []Part
}

// Part is one line of the status.
type Part struct {
	Name, Detail string
	OK           bool
}

const statusTimeout = 5 * time.Second

// GetStatus looks at the cluster of a data directory from outside.
func GetStatus(ctx context.Context, dataDir string) (*Status, error) {
	dataDir, err := ResolveDataDir(dataDir)
	if err != nil {
		return nil, err
	}
	id, err := ReadIdentity(dataDir)
	if err != nil {
		return nil, fmt.Errorf("no cluster in %s (%w): start one with `hyperkube up`", dataDir, err)
	}
	p := PathsOf(dataDir)
	s := &Status{DataDir: dataDir, Identity: id, Kubeconfig: p.Kubeconfig}
	var busy bool
	if s.PID, busy, err = runningPID(p); err != nil {
		return nil, err
	}
	if busy && s.PID == 0 {
		s.Parts = []Part{{"cluster", "is being started; its log is " + p.Log, false}}
		return s, nil
	}
	if m, err := readMarker(dataDir); !busy && err == nil && m.Reset {
		s.Parts = []Part{{"reset", wasCutOff(dataDir), false}}
		return s, nil
	}
	if !busy {
		s.Parts = []Part{{"cluster", "stopped; `hyperkube up` starts it again", false}}
		return s, nil
	}
	if !kept(p) {
		s.add("keeper", false, "%s", unkept)
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	s.ask(ctx)
	return s, nil
}

// answers asks the API server of a kubeconfig whether it is ready.
func answers(ctx context.Context, kubeconfig string) (*kubernetes.Clientset, *rest.Config, error) {
	text, err := regular.ReadFile(kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		return nil, nil, err
	}
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, nil, err
	}
	_, err = kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return kube, cfg, err
}

func (s *Status) ask(ctx context.Context) {
	kube, cfg, err := answers(ctx, s.Kubeconfig)
	if err != nil {
		s.add("API server", false, "%v", err)
		if ip := s.Identity.NodeIP; !hasAddress(ip) {
			s.add("address", false, "this machine has not %s any more, with which the cluster was started: `hyperkube down` and `hyperkube up` give it the one there is now (pods go on meanwhile)", ip)
		}
		return
	}
	s.add("API server", true, "%s", cfg.Host)
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		s.add("nodes", false, "%v", err)
		return
	}
	for _, n := range nodes.Items {
		ready, why := conditionOf(&n)
		s.add("node "+n.Name, ready, "%s", why)
	}
	dns, err := kube.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		s.add("DNS", false, "%v", err)
		return
	}
	s.add("DNS", dns.Status.AvailableReplicas > 0, "%d of %d available", dns.Status.AvailableReplicas, dns.Status.Replicas)
}

// hasAddress reports whether an interface of this machine has the address; true when that
// cannot be found out.
func hasAddress(ip string) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.String() == ip
	})
}

func (s *Status) add(name string, ok bool, format string, args ...any) {
	s.Parts = append(s.Parts, Part{name, fmt.Sprintf(format, args...), ok})
}

func conditionOf(n *corev1.Node) (bool, string) {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue, c.Message
		}
	}
	return false, "has not reported yet"
}

// Healthy reports whether every part is.
func (s *Status) Healthy() bool {
	for _, p := range s.Parts {
		if !p.OK {
			return false
		}
	}
	return true
}

// Print writes the status for a person.
func (s *Status) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "data\t%s\n", s.DataDir)
	if s.PID != 0 {
		fmt.Fprintf(t, "process\t%d\n", s.PID)
	}
	if _, err := os.Stat(s.Kubeconfig); err == nil {
		fmt.Fprintf(t, "kubeconfig\t%s\n", s.Kubeconfig)
	}
	for _, p := range s.Parts {
		mark := "ok"
		if !p.OK {
			mark = "NOT OK"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.Name, mark, p.Detail)
	}
}

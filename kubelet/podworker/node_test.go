package podworker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"

	"hyperkube/kubelet/admit"
	"hyperkube/kubelet/cri"
	"hyperkube/kubelet/images"
	"hyperkube/kubelet/lifecycle"
	"hyperkube/kubelet/probe"
	"hyperkube/kubelet/status"
	"hyperkube/kubelet/steps"
	"hyperkube/kubelet/volume"
)

// TestNodes plays testdata/node/*: real workers of one node of two cpus, with a runtime that may fail.
//
//	add NAME uid=U [cpu=1500m] [port=80]   (YAML spec) a pod is bound to the node
//	delete U GRACE                         the API asks for its end
//	remove U                               the API does not have it any more
//	exit ID CODE                           a container ends
//	fail CALL WORD                         that call fails from now on ("gone": the runtime is away); heal: no more
//	relist                                 the runtime tells everything it has
//	restart, or down and up                the kubelet is started anew
//	stray U                                the runtime has a sandbox that nobody asked for
//	unplug U                               the pod's sandbox is found without its network
//	wait DURATION                          time passes
//	calls                                  what the runtime was asked since the last time
//
// After each command come the events since the last, and each pod with its status.
func TestNodes(t *testing.T) {
	files, err := filepath.Glob("testdata/node/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, root)
				defer func() { n.stop() }() // of the kubelet that runs then
				datadriven.RunTest(t, f, n.play)
			})
		})
	}
}

type nodeSim struct {
	root    string
	isDown  bool
	rt      *faulty
	api     *fake.Clientset
	m       *Manager
	d       *Deps
	node    *v1.Node
	stop    func()
	mu      sync.Mutex
	events  []string
	order   []types.UID
	current map[types.UID]*v1.Pod
}

func newNode(t *testing.T, root string) *nodeSim {
	n := &nodeSim{root: root, rt: newFaulty(), api: fake.NewClientset(), node: &v1.Node{}, current: map[types.UID]*v1.Pod{}}
	n.node.Status.Allocatable = v1.ResourceList{v1.ResourceCPU: resource.MustParse("2"), v1.ResourcePods: resource.MustParse("110")}
	n.start()
	return n
}

func (n *nodeSim) start() {
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	client := n.rt.client()
	sd := &steps.Deps{Client: client, Volumes: volume.NewManager(n.root, nil),
		Renderer: &cri.Renderer{LogRoot: n.root + "/logs", CgroupParent: func(*v1.Pod) string { return "" }},
		Sources:  sources{}, Services: func(string) []*v1.Service { return nil }}
	statuses := status.NewManager(n.api, log, nil)
	n.d = &Deps{Client: client, Pod: steps.All(sd), Containers: steps.Containers(sd), Images: images.NewPuller(client, 5, nil), Volumes: sd.Volumes,
		Prober: &probe.Prober{}, Hooks: lifecycle.Runner{}, Statuses: statuses, Recorder: n, Log: log, LogRoot: n.root + "/logs",
		HostIPs: func() []string { return []string{"192.0.2.1"} },
		DeletePod: func(ctx context.Context, pod *v1.Pod) error {
			return n.api.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		}}
	n.m = NewManager(ctx, n.d, func(pod *v1.Pod, here []*v1.Pod) *status.Final { return admit.Pod(pod, here, n.node, admit.Host{}) })
	n.rt.mu.Lock()
	n.rt.emit = n.m.Event
	n.rt.mu.Unlock()
	n.stop = func() {
		cancel()
		n.m.Wait()
		statuses.Wait()
	}
}

type sources struct{ volume.Sources }

func (sources) Allocatable() v1.ResourceList { return nil }

// Event, Eventf and AnnotatedEventf make n a recorder.
func (n *nodeSim) Event(o runtime.Object, _, reason, message string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch reason {
	case "Pulled", "Created", "Started":
		return
	}
	n.events = append(n.events, fmt.Sprintf("event %s: %s: %s", o.(*v1.ObjectReference).UID, reason, message))
}

func (n *nodeSim) Eventf(o runtime.Object, t, reason, format string, args ...any) {
	n.Event(o, t, reason, fmt.Sprintf(format, args...))
}

func (n *nodeSim) AnnotatedEventf(o runtime.Object, _ map[string]string, t, reason, format string, args ...any) {
	n.Eventf(o, t, reason, format, args...)
}

func (n *nodeSim) play(t *testing.T, d *datadriven.TestData) string {
	arg := func(i int) string { return d.CmdArgs[i].Key }
	switch d.Cmd {
	case "add":
		n.add(t, d)
	case "delete":
		g, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		p := n.current[types.UID(arg(0))].DeepCopy()
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = new(metav1.Now()), new(int64(g.Seconds()))
		n.current[p.UID] = p
		n.m.Update(p)
	case "remove":
		n.m.Remove(types.UID(arg(0)))
	case "exit":
		code, err := strconv.Atoi(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		n.rt.mu.Lock()
		n.rt.end(arg(0), int32(code))
		n.rt.mu.Unlock()
	case "fail":
		n.rt.mu.Lock()
		n.rt.fails[arg(0)] = n.rt.told(arg(1))
		n.rt.mu.Unlock()
	case "heal":
		n.rt.mu.Lock()
		n.rt.fails = map[string]error{}
		n.rt.mu.Unlock()
	case "relist":
		n.m.Relist(n.rt.pods(), time.Now())
	case "down":
		n.stop()
		n.isDown = true
		return n.describe()
	case "stray":
		n.rt.mu.Lock()
		id := arg(0)
		n.rt.sandboxes["sb-"+id] = &runtimeapi.PodSandboxStatus{Id: "sb-" + id, CreatedAt: n.rt.now(), Metadata: &runtimeapi.PodSandboxMetadata{},
			Labels: map[string]string{cri.LabelPodUID: id, cri.LabelPodName: id, cri.LabelPodNamespace: "ns"}}
		n.rt.mu.Unlock()
	case "restart", "up":
		if !n.isDown {
			n.stop()
		}
		n.isDown = false
		n.start()
		n.m.Relist(n.rt.pods(), time.Now())
		for _, uid := range n.order {
			if p, err := n.api.CoreV1().Pods("ns").Get(t.Context(), n.current[uid].Name, metav1.GetOptions{}); err == nil && p.UID == uid {
				n.m.Update(p)
			}
		}
		n.m.Orphans()
	case "unplug":
		n.m.Unplugged(types.UID(arg(0)), n.m.workers[types.UID(arg(0))].view.Runtime.Sandbox().Id)
	case "wait":
		g, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(g)
	case "calls":
		return n.rt.counts() + "\n"
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	synctest.Wait()
	if !n.isDown {
		n.echo()
	}
	return n.describe()
}

// echo tells the kubelet, as a watch does, what it has made of the API's objects.
func (n *nodeSim) echo() {
	for _, uid := range n.order {
		old := n.current[uid]
		p, err := n.api.CoreV1().Pods("ns").Get(context.Background(), old.Name, metav1.GetOptions{})
		if err != nil || p.UID != uid || equality.Semantic.DeepEqual(p.Status, old.Status) {
			continue
		}
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = old.DeletionTimestamp, old.DeletionGracePeriodSeconds
		n.current[uid] = p
		n.m.Update(p)
	}
	synctest.Wait()
}

func (n *nodeSim) add(t *testing.T, d *datadriven.TestData) {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: d.CmdArgs[0].Key, Namespace: "ns"}}
	c := v1.Container{Name: "main", Image: "a"}
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "uid":
			p.UID = types.UID(a.Vals[0])
		case "cpu":
			c.Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse(a.Vals[0])}
		case "port":
			port, err := strconv.Atoi(a.Vals[0])
			if err != nil {
				t.Fatal(err)
			}
			c.Ports = []v1.ContainerPort{{HostPort: int32(port), ContainerPort: int32(port), Protocol: v1.ProtocolUDP}}
		}
	}
	p.Spec.RestartPolicy, p.Spec.TerminationGracePeriodSeconds = v1.RestartPolicyAlways, new(int64(30))
	if err := yaml.UnmarshalStrict([]byte(d.Input), &p.Spec); err != nil {
		t.Fatal(err)
	}
	if p.Spec.Containers == nil {
		p.Spec.Containers = []v1.Container{c}
	}
	p.Status.Phase = v1.PodPending
	_ = n.api.CoreV1().Pods("ns").Delete(t.Context(), p.Name, metav1.DeleteOptions{}) // one of that name was there before
	if _, err := n.api.CoreV1().Pods("ns").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.order = append(n.order, p.UID)
	n.current[p.UID] = p
	if !n.isDown {
		n.m.Update(p)
	}
}

// describe renders the events and what the API has of each pod.
func (n *nodeSim) describe() string {
	var b strings.Builder
	n.mu.Lock()
	slices.Sort(n.events)
	for _, e := range slices.Compact(n.events) {
		b.WriteString(e + "\n")
	}
	n.events = nil
	n.mu.Unlock()
	for _, uid := range n.order {
		p, err := n.api.CoreV1().Pods("ns").Get(context.Background(), n.current[uid].Name, metav1.GetOptions{})
		if err != nil || p.UID != uid {
			if n.m.Has(uid) {
				fmt.Fprintf(&b, "%s: going\n", uid)
			}
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", uid, summary(p.Status))
	}
	return b.String()
}

func summary(s v1.PodStatus) string {
	out := string(s.Phase)
	if s.Reason != "" {
		out += " " + s.Reason
	}
	if s.Message != "" {
		out += fmt.Sprintf(" (%s)", s.Message)
	}
	for _, c := range s.Conditions {
		if c.Type == v1.AllContainersRestarting {
			out += fmt.Sprintf(" %s=%s %s", c.Type, c.Status, c.Message)
		}
	}
	for _, c := range append(slices.Clone(s.InitContainerStatuses), s.ContainerStatuses...) {
		out += " " + c.Name
		switch {
		case c.State.Running != nil:
			out += " runs"
		case c.State.Terminated != nil:
			out += fmt.Sprintf(" %s/%d", c.State.Terminated.Reason, c.State.Terminated.ExitCode)
		case c.State.Waiting != nil:
			out += " " + c.State.Waiting.Reason
		}
		if c.RestartCount > 0 {
			out += fmt.Sprintf(" x%d", c.RestartCount)
		}
	}
	return out
}

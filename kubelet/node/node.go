// Package node tells the cluster about this machine: it registers the Node object, keeps its status true and renews
// its lease.
//
//	Run ──register──▶ status now, on change, every five minutes
//	              └─▶ lease every ten seconds (kube-node-lease/<name>, forty seconds)
//
// What goes into a status is rendered by pure functions from Facts.
package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
	"hyperkube/kit"
)

const (
	statusEvery = 5 * time.Minute
	lookEvery   = 10 * time.Second // for pressures, of which nobody tells
	askEvery    = time.Minute      // the runtime that is well: when it ends, its stream of events tells
	callTimeout = 10 * time.Second
	unreadyLook = 200 * time.Millisecond
	// patience is how long a runtime may be away before anyone is told: containers run on without it,
	// and it is usually back in seconds.
	patience = 30 * time.Second
	awayLook = time.Second
	// echoPause keeps two who write the same fields from driving each other.
	echoPause = time.Second
)

// Options says which node this is.
type Options struct {
	Name       string
	Kube       kubernetes.Interface
	Recorder   kit.Recorder
	Log        *slog.Logger
	Failures   *prometheus.CounterVec // of trouble.Metric; may be nil
	Register   bool
	Labels     map[string]string
	Taints     []v1.Taint
	ProviderID string
	Port       int32
	Version    string
	IPs        []string
	RootDir    string
	MaxPods    int64
	Reserved   v1.ResourceList
	// Runtime reports readiness; its error makes the node not ready.
	Runtime func(ctx context.Context) (RuntimeState, error)
	Images  func(ctx context.Context) ([]v1.ContainerImage, error)
}

// RuntimeState is what the runtime says of itself.
type RuntimeState struct {
	Version string // containerd://2.4.2
	// NotReady and NetworkNotReady are why pods cannot run; empty when they can.
	NotReady, NetworkNotReady string
	Handlers                  []v1.NodeRuntimeHandler
	Features                  *v1.NodeFeatures
}

// Agent keeps one Node object.
type Agent struct {
	o       Options
	machine Machine
	poke    chan struct{}

	mu     sync.Mutex
	node   *v1.Node // as last seen in the API
	gone   bool     // the API has no such node any more
	sentAt time.Time
	ready  bool
	away   bool // the runtime is, and nobody is told yet

	// Of Run's goroutine only: what the runtime last said that counted, when, since when it is away, and which images
	// it had.
	told   RuntimeState
	toldAt time.Time
	since  time.Time
	images []v1.ContainerImage

	syncing, renewing *trouble.Teller
}

// New reads the machine's unchanging facts.
func New(o Options) (*Agent, error) {
	m, err := ReadMachine(o.RootDir)
	if err != nil {
		return nil, fmt.Errorf("reading the machine's facts: %w", err)
	}
	return &Agent{o: o, machine: m, poke: make(chan struct{}, 1),
		syncing: trouble.New(o.Log, o.Failures, "updating node status"), renewing: trouble.New(o.Log, o.Failures, "renewing the node's lease")}, nil
}

// Machine is what the machine has.
func (a *Agent) Machine() Machine { return a.machine }

// Allocatable is what pods may use.
func (a *Agent) Allocatable() v1.ResourceList { return a.machine.allocatable(a.o) }

// Node is the newest Node object, as last seen in the API; nil before the first.
func (a *Agent) Node() *v1.Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.node
}

// Saw takes in the Node object as the API has it. What others have written over the kubelet's own is put right at
// once: a node that nobody heard of for a while is said to be unknown until it speaks.
func (a *Agent) Saw(n *v1.Node) {
	a.mu.Lock()
	before := a.node
	if before != nil && before.UID == n.UID && older(n, before) {
		a.mu.Unlock()
		return
	}
	a.node, a.gone = n, false
	overwritten := before != nil && !sameOwn(before, n) && time.Since(a.sentAt) >= echoPause
	a.mu.Unlock()
	if before == nil || before.Spec.PodCIDR != n.Spec.PodCIDR || overwritten {
		a.Poke()
	}
}

// Lost takes in that the API has the Node object no more; it is made again.
func (a *Agent) Lost(n *v1.Node) {
	a.mu.Lock()
	a.gone = a.node == nil || a.node.UID == n.UID
	a.mu.Unlock()
	a.Poke()
}

// older compares resource versions as the numbers that they are in every Kubernetes.
func older(a, b *v1.Node) bool {
	return len(a.ResourceVersion) < len(b.ResourceVersion) ||
		len(a.ResourceVersion) == len(b.ResourceVersion) && a.ResourceVersion < b.ResourceVersion
}

// sameOwn compares what the kubelet says of itself and others have a mind to change.
func sameOwn(a, b *v1.Node) bool {
	for _, t := range ownConditions {
		x, y := find(a.Status.Conditions, t), find(b.Status.Conditions, t)
		if (x == nil) != (y == nil) || x != nil && x.Status != y.Status {
			return false
		}
	}
	return equality.Semantic.DeepEqual(a.Status.Allocatable, b.Status.Allocatable) && equality.Semantic.DeepEqual(a.Status.Capacity, b.Status.Capacity) &&
		equality.Semantic.DeepEqual(a.Status.Addresses, b.Status.Addresses)
}

// Poke has the status looked at now.
func (a *Agent) Poke() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// Run registers the node and keeps it until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.register(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer wg.Wait()
	defer cancel()
	renewed := make(chan error, 1)
	wg.Go(func() {
		renewed <- supervise.Contain("node lease", func() error { a.renew(ctx); return nil })
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-renewed:
			return err
		case <-a.poke:
			a.toldAt = time.Time{}
		case <-timer.C:
		}
		wait := lookEvery
		switch err := a.sync(ctx); {
		case err != nil && ctx.Err() == nil:
			a.syncing.Failed(err, "node", a.o.Name)
			wait = time.Second
			a.toldAt = time.Time{}
		case a.isAway():
			a.syncing.Well()
			wait = awayLook
		case !a.isReady():
			a.syncing.Well()
			wait = unreadyLook // the runtime tells nobody when its network becomes ready
		default:
			a.syncing.Well()
		}
		timer.Reset(wait)
	}
}

func (a *Agent) isReady() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

func (a *Agent) isAway() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away
}

func (a *Agent) register(ctx context.Context) error {
	told := trouble.New(a.o.Log, a.o.Failures, "registering the node")
	tries := supervise.Tries{Growth: supervise.Growth{First: 50 * time.Millisecond, Most: 5 * time.Second}}
	for {
		err := a.tryRegister(ctx)
		if err == nil || ctx.Err() != nil {
			told.Well()
			return nil
		}
		told.Failed(err, "node", a.o.Name)
		if !tries.Again(ctx) {
			return nil
		}
	}
}

func (a *Agent) tryRegister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	nodes := a.o.Kube.CoreV1().Nodes()
	have, err := nodes.Get(ctx, a.o.Name, metav1.GetOptions{})
	switch {
	case err == nil:
		have, err = a.relabel(ctx, have)
	case apierrors.IsNotFound(err) && a.o.Register:
		fresh := a.initial()
		fresh.Status = a.compute(ctx, fresh)
		have, err = nodes.Create(ctx, fresh, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	a.takeOver(&have.Status)
	a.mu.Lock()
	a.node, a.gone = have, false
	a.mu.Unlock()
	a.o.Recorder.Event(a.reference(), v1.EventTypeNormal, "Starting", "Starting kubelet.")
	return nil
}

func (a *Agent) initial() *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: a.o.Name, Labels: a.labels(),
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
		Spec: v1.NodeSpec{ProviderID: a.o.ProviderID, Taints: a.o.Taints},
	}
}

func (a *Agent) labels() map[string]string {
	out := map[string]string{
		v1.LabelHostname: a.o.Name, v1.LabelOSStable: "linux", v1.LabelArchStable: a.machine.Arch,
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": a.machine.Arch,
	}
	for k, v := range a.o.Labels {
		out[k] = v
	}
	return out
}

// relabel brings the labels that the kubelet owns up to date.
func (a *Agent) relabel(ctx context.Context, have *v1.Node) (*v1.Node, error) {
	if !a.o.Register {
		return have, nil
	}
	missing := map[string]string{}
	for k, v := range a.labels() {
		if have.Labels[k] != v {
			missing[k] = v
		}
	}
	if len(missing) == 0 {
		return have, nil
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": missing}})
	if err != nil {
		return nil, err
	}
	return a.o.Kube.CoreV1().Nodes().Patch(ctx, a.o.Name, types.MergePatchType, data, metav1.PatchOptions{})
}

func (a *Agent) reference() *v1.ObjectReference {
	return &v1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: a.o.Name, UID: types.UID(a.o.Name)}
}

// sync sends the status when it is not the one that the API has, or due.
func (a *Agent) sync(ctx context.Context) error {
	a.mu.Lock()
	base, gone, sentAt := a.node, a.gone, a.sentAt
	a.mu.Unlock()
	if base == nil {
		return nil
	}
	if gone {
		if err := a.tryRegister(ctx); err != nil {
			return err
		}
		base = a.Node()
	}
	want := a.compute(ctx, base)
	if !sentAt.IsZero() && same(&base.Status, &want) && time.Since(sentAt) < statusEvery {
		return nil
	}
	got, err := a.patch(ctx, base, want)
	if apierrors.IsNotFound(err) {
		return a.tryRegister(ctx)
	}
	if err != nil {
		return err
	}
	before := &base.Status
	if sentAt.IsZero() {
		before = nil // an earlier kubelet's: this one has not said anything yet
	}
	a.announce(before, &want)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sentAt = time.Now()
	if a.node.UID != got.UID || !older(got, a.node) {
		a.node = got
	}
	return nil
}

func (a *Agent) patch(ctx context.Context, base *v1.Node, want v1.NodeStatus) (*v1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	from, err := json.Marshal(v1.Node{Status: base.Status})
	if err != nil {
		return nil, err
	}
	to, err := json.Marshal(v1.Node{Status: want})
	if err != nil {
		return nil, err
	}
	data, err := strategicpatch.CreateTwoWayMergePatch(from, to, v1.Node{})
	if err != nil {
		return nil, err
	}
	return a.o.Kube.CoreV1().Nodes().Patch(ctx, a.o.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
}

// same compares statuses apart from heartbeats.
func same(a, b *v1.NodeStatus) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, s := range []*v1.NodeStatus{a, b} {
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime = metav1.Time{}
		}
	}
	return equality.Semantic.DeepEqual(a, b)
}

// announce makes events of conditions that changed.
func (a *Agent) announce(before, now *v1.NodeStatus) {
	names := map[v1.NodeConditionType][2]string{
		v1.NodeReady:          {"NodeReady", "NodeNotReady"},
		v1.NodeMemoryPressure: {"NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
		v1.NodeDiskPressure:   {"NodeHasDiskPressure", "NodeHasNoDiskPressure"},
		v1.NodePIDPressure:    {"NodeHasInsufficientPID", "NodeHasSufficientPID"},
	}
	for _, c := range now.Conditions {
		n, ok := names[c.Type]
		if !ok {
			continue
		}
		var old *v1.NodeCondition
		if before != nil {
			old = find(before.Conditions, c.Type)
		}
		if old != nil && old.Status == c.Status || old == nil && c.Type == v1.NodeReady && c.Status != v1.ConditionTrue {
			continue
		}
		reason := n[1]
		if c.Status == v1.ConditionTrue {
			reason = n[0]
		}
		a.o.Recorder.Event(a.reference(), v1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", a.o.Name, reason))
	}
	if before == nil {
		a.o.Recorder.Event(a.reference(), v1.EventTypeNormal, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
	}
}

package node

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
)

// agentBed is an agent with an API server in memory that counts revisions, and a runtime that answers as told.
type agentBed struct {
	t       *testing.T
	api     *fake.Clientset
	a       *Agent
	rv      int
	patches atomic.Int64
	mu      sync.Mutex // of state and err
	state   RuntimeState
	err     error
	stop    func()
}

func newBed(t *testing.T) *agentBed { return newBedOn(t, func(*agentBed) {}) }

// newBedOn prepares what the agent finds when it starts.
func newBedOn(t *testing.T, prepare func(*agentBed)) *agentBed {
	b := &agentBed{t: t, api: fake.NewClientset(), state: RuntimeState{Version: "containerd://2"}}
	revise := func(o runtime.Object) {
		b.rv++
		o.(metav1.Object).SetResourceVersion(strconv.Itoa(1000 + b.rv))
	}
	b.api.PrependReactor("create", "nodes", func(act ktesting.Action) (bool, runtime.Object, error) {
		o := act.(ktesting.CreateAction).GetObject()
		o.(metav1.Object).SetUID("u")
		revise(o)
		return false, nil, nil
	})
	b.api.PrependReactor("patch", "nodes", func(ktesting.Action) (bool, runtime.Object, error) {
		b.patches.Add(1)
		return false, nil, nil
	})
	a, err := New(Options{Name: "n", Kube: b.api, Recorder: record.NewFakeRecorder(1000), Log: slog.New(slog.DiscardHandler), Register: true,
		RootDir: t.TempDir(), MaxPods: 110, IPs: []string{"192.0.2.1"},
		Runtime: func(context.Context) (RuntimeState, error) { return b.asked() },
		Images:  func(context.Context) ([]v1.ContainerImage, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	b.a = a
	prepare(b)
	ctx, cancel := context.WithCancel(context.Background())
	w, err := b.api.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- a.Run(ctx) }()
	go func() {
		defer func() { done <- nil }()
		for e := range w.ResultChan() {
			n := e.Object.(*v1.Node)
			if e.Type == watch.Deleted {
				a.Lost(n)
			} else {
				a.Saw(n)
			}
		}
	}()
	b.stop = func() {
		cancel()
		w.Stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	synctest.Wait()
	return b
}

// asked is what the runtime answers, and answers what it will answer from now on.
func (b *agentBed) asked() (RuntimeState, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.err
}

func (b *agentBed) answers(networkNotReady string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.NetworkNotReady, b.err = networkNotReady, err
}

func (b *agentBed) node() *v1.Node {
	b.t.Helper()
	n, err := b.api.CoreV1().Nodes().Get(b.t.Context(), "n", metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *agentBed) ready() v1.ConditionStatus {
	b.t.Helper()
	if c := find(b.node().Status.Conditions, v1.NodeReady); c != nil {
		return c.Status
	}
	return ""
}

// overwrite has somebody else say that the node is unknown, as the node lifecycle controller does.
func (b *agentBed) overwrite() {
	b.t.Helper()
	written := b.say(func(s *v1.NodeStatus) {
		for i := range s.Conditions {
			s.Conditions[i].Status = v1.ConditionUnknown
		}
	})
	// The agent may have put it right already: the answer shows that there was something to.
	if c := find(written.Status.Conditions, v1.NodeReady); c == nil || c.Status != v1.ConditionUnknown {
		b.t.Fatal("not overwritten")
	}
}

// say has somebody else write the node's status.
func (b *agentBed) say(change func(*v1.NodeStatus)) *v1.Node {
	b.t.Helper()
	n := b.node()
	change(&n.Status)
	b.rv++
	n.ResourceVersion = strconv.Itoa(1000 + b.rv)
	written, err := b.api.CoreV1().Nodes().UpdateStatus(b.t.Context(), n, metav1.UpdateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return written
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestOverwritten: what others have written over the node's own state is put right within seconds, however often,
// and a node whose state is right writes nothing but its heartbeat.
func TestOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		defer b.stop()
		for range 3 {
			pass(time.Minute)
			b.overwrite()
			pass(10 * time.Second)
			if got := b.ready(); got != v1.ConditionTrue {
				t.Errorf("ten seconds later the node is ready: %v", got)
			}
		}
		b.overwrite()
		b.overwrite() // one right after the other
		pass(10 * time.Second)
		if got := b.ready(); got != v1.ConditionTrue {
			t.Errorf("the node is ready: %v", got)
		}
		before := b.patches.Load()
		pass(9 * time.Minute)
		if n := b.patches.Load() - before; n != 1 {
			t.Errorf("%d writes in nine quiet minutes, want one heartbeat", n)
		}
	})
}

// TestRuntimeAway: a runtime that is back within half a minute, not ready at first, changes nothing that others see.
func TestRuntimeAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		defer b.stop()
		pass(time.Second)
		before := b.patches.Load()
		b.answers("", errors.New("connection refused"))
		b.a.Poke()
		pass(20 * time.Second)
		b.answers("cni plugin not initialized", nil)
		b.a.Poke()
		pass(5 * time.Second)
		b.answers("", nil)
		pass(5 * time.Second)
		if n := b.patches.Load() - before; n != 0 || b.ready() != v1.ConditionTrue {
			t.Errorf("%d writes, ready %v", n, b.ready())
		}
		b.answers("", errors.New("connection refused"))
		b.a.Poke()
		pass(29 * time.Second)
		if got := b.ready(); got != v1.ConditionTrue {
			t.Errorf("after 29 s ready is %v", got)
		}
		pass(3 * time.Second)
		if got := b.ready(); got != v1.ConditionFalse {
			t.Errorf("after 32 s ready is %v", got)
		}
		b.answers("", nil)
		pass(2 * time.Second)
		if got := b.ready(); got != v1.ConditionTrue {
			t.Errorf("with the runtime back ready is %v", got)
		}
		// A runtime that answers and says that it cannot work is believed at once.
		b.answers("cni config gone", nil)
		b.a.Poke()
		pass(time.Second)
		if got := b.ready(); got != v1.ConditionFalse {
			t.Errorf("without a network ready is %v", got)
		}
	})
}

// TestTakenOver: a kubelet that starts beside a runtime that is just starting, too, does not say so while its node
// is known as ready: its pods would go out of their services. It says so when the runtime stays away, when the node
// was not ready before, and when the machine has booted since.
func TestTakenOver(t *testing.T) {
	for _, x := range []struct {
		name   string
		ready  v1.ConditionStatus
		booted bool
		err    error // of the runtime; without it answers that it has no network
		early  v1.ConditionStatus
	}{
		{"starts beside it", v1.ConditionTrue, false, errors.New("server is not initialized yet"), v1.ConditionTrue},
		{"has no network yet", v1.ConditionTrue, false, nil, v1.ConditionTrue},
		{"was not ready", v1.ConditionFalse, false, nil, v1.ConditionFalse},
		{"was not heard of", v1.ConditionUnknown, false, nil, v1.ConditionFalse},
		{"has booted", v1.ConditionTrue, true, nil, v1.ConditionFalse},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen []v1.ConditionStatus
				b := newBedOn(t, func(b *agentBed) {
					have := b.a.initial()
					have.UID = "u"
					have.Status.NodeInfo = b.a.machine.info("v1", "containerd://2")
					if x.booted {
						have.Status.NodeInfo.BootID = "before"
					}
					have.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: x.ready}}
					if err := b.api.Tracker().Add(have); err != nil {
						t.Fatal(err)
					}
					b.answers("cni plugin not initialized", x.err)
				})
				defer b.stop()
				for range 20 {
					pass(time.Second)
					seen = append(seen, b.ready())
				}
				for _, got := range seen {
					if got != x.early {
						t.Fatalf("ready in the first seconds: %v, want %v", seen, x.early)
					}
				}
				pass(15 * time.Second)
				if got := b.ready(); got != v1.ConditionFalse {
					t.Errorf("after 35 s ready is %v", got)
				}
				b.answers("", nil)
				pass(2 * time.Second)
				if got := b.ready(); got != v1.ConditionTrue {
					t.Errorf("with the runtime well ready is %v", got)
				}
				b.answers("cni config gone", nil)
				b.a.Poke()
				pass(time.Second)
				if got := b.ready(); got != v1.ConditionFalse {
					t.Errorf("without a network ready is %v", got)
				}
			})
		})
	}
}

// TestLost: a node that was deleted is there again.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		defer b.stop()
		pass(time.Minute)
		if err := b.api.CoreV1().Nodes().Delete(t.Context(), "n", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if got := b.ready(); got != v1.ConditionTrue {
			t.Errorf("ready: %v", got)
		}
	})
}

// TestExtended: what an administrator says that the node has besides stays, also through
// heartbeats, and can be taken away again; what the kubelet measures is its own.
func TestExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		defer b.stop()
		pass(time.Second)
		say := func(change func(capacity v1.ResourceList)) {
			b.say(func(s *v1.NodeStatus) { change(s.Capacity) })
			pass(6 * time.Minute)
		}
		memory := b.node().Status.Capacity.Memory().String()
		say(func(c v1.ResourceList) {
			c["example.com/dongle"], c[v1.ResourceMemory], c["hugepages-7Mi"] = resource.MustParse("5"), resource.MustParse("1"), resource.MustParse("1")
		})
		got := b.node().Status
		for _, l := range []v1.ResourceList{got.Capacity, got.Allocatable} {
			q, old := l["example.com/dongle"], l["hugepages-7Mi"]
			if q.Value() != 5 || !old.IsZero() {
				t.Errorf("the node has %v", l)
			}
		}
		if got.Capacity.Memory().String() != memory {
			t.Errorf("memory is %v, want %s", got.Capacity.Memory(), memory)
		}
		say(func(c v1.ResourceList) { delete(c, "example.com/dongle") })
		got = b.node().Status
		if _, have := got.Allocatable["example.com/dongle"]; have || len(got.Capacity) != len(got.Allocatable) {
			t.Errorf("the node has %v of %v", got.Allocatable, got.Capacity)
		}
	})
}

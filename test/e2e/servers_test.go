package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"k8s.io/client-go/rest"

	"hyperkube/internal/pki"
)

// killsEach is how often a server is killed; HYPERKUBE_KILLS asks for more, and
// HYPERKUBE_SEED for the same choices again.
const killsEach = 12

// TestTwoServers: two API servers over one etcd answer as one, whichever is killed
// when. What clients of both saw is linearizable for each object, and whoever
// watches, from server to server, is told of every change once and in order.
func TestTwoServers(t *testing.T) {
	kills, seed := fromEnvironment(t, "HYPERKUBE_KILLS", killsEach), uint64(fromEnvironment(t, "HYPERKUBE_SEED", int(time.Now().UnixNano()%1e9)))
	t.Logf("HYPERKUBE_KILLS=%d HYPERKUBE_SEED=%d", kills, seed)
	p := newPairOfServers(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &history{began: time.Now()}
	followers := []*follower{{p: p, at: 0}, {p: p, at: 1}}
	var wg sync.WaitGroup
	for i := range 6 {
		c := &registerClient{p: p, h: h, id: i, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		wg.Go(func() { c.run(ctx) })
	}
	var watching sync.WaitGroup
	watchers, stopWatching := context.WithCancel(t.Context())
	defer stopWatching()
	for _, f := range followers {
		watching.Go(func() { f.run(watchers) })
	}
	rng := rand.New(rand.NewPCG(seed, 1000))
	for range kills {
		pause(t, rng, 400*time.Millisecond)
		victims := []int{rng.IntN(2)}
		if rng.IntN(5) == 0 {
			victims = []int{0, 1}
		}
		for _, v := range victims {
			p.servers[v].kill()
		}
		pause(t, rng, 200*time.Millisecond)
		for _, v := range victims {
			p.start(v)
		}
		p.ready()
		h.epoch.Add(1) // so that no object has a long history of writes whose end nobody saw
	}
	cancel()
	wg.Wait()
	last := p.final(t)
	for _, f := range followers {
		f.until(t, last)
	}
	stopWatching()
	watching.Wait()
	h.check(t)
	checkFollowers(t, h, followers)
}

func fromEnvironment(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// pause lets up to most go by, so that kills meet everything that is under way.
func pause(t *testing.T, rng *rand.Rand, most time.Duration) {
	select {
	case <-time.After(rng.N(most)):
	case <-t.Context().Done():
	}
}

// pairOfServers are two API servers over one etcd.
type pairOfServers struct {
	*separate
	servers [2]*process
	clients [2]*rest.RESTClient
}

const serversSpace = "linear"

func newPairOfServers(t *testing.T) *pairOfServers {
	s := newSeparate(t)
	s.serve("etcd", "--data-dir", s.p.Etcd, "--listen-client-urls", "https://127.0.0.1:2379", "--advertise-client-urls", "https://127.0.0.1:2379",
		"--cert-file="+s.l.Cert(pki.NameEtcdServer), "--key-file="+s.l.Key(pki.NameEtcdServer), "--trusted-ca-file="+s.l.Cert(pki.NameEtcdCA), "--client-cert-auth",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380")
	p := &pairOfServers{separate: s}
	p.start(0)
	p.start(1)
	s.Connect()
	for i := range p.clients {
		config := rest.CopyConfig(s.Config)
		config.Host = fmt.Sprintf("https://192.0.2.10:%d", 6443+i)
		config.GroupVersion, config.APIPath, config.NegotiatedSerializer = coreJSON()
		var err error
		if p.clients[i], err = rest.RESTClientFor(config); err != nil {
			t.Fatal(err)
		}
	}
	p.ready()
	s.Kubectl("create", "namespace", serversSpace)
	return p
}

func (p *pairOfServers) start(i int) {
	p.servers[i] = p.serve("kube-apiserver", append(p.apiserverFlags(), fmt.Sprintf("--secure-port=%d", 6443+i), fmt.Sprintf("--audit-log-path=%s.%d", p.p.Audit, i))...)
}

// ready waits until both serve.
func (p *pairOfServers) ready() {
	p.t.Helper()
	for i, c := range p.clients {
		p.Eventually(60*time.Second, fmt.Sprintf("server %d", i), func() error {
			ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Second)
			defer cancel()
			return c.Get().AbsPath("/readyz").Do(ctx).Error()
		})
	}
}

// final reads everything from both, which must agree, and gives the revision.
func (p *pairOfServers) final(t *testing.T) int64 {
	t.Helper()
	var texts [2]string
	var last int64
	for i, c := range p.clients {
		list, err := listAll(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.Items {
			texts[i] += fmt.Sprintln(m.Name, m.ResourceVersion, m.Data["v"])
		}
		last = max(last, revision(list.ResourceVersion))
	}
	if texts[0] != texts[1] {
		t.Errorf("the servers hold different things:\n%s\n%s", texts[0], texts[1])
	}
	return last
}

// history is what clients did and saw.
type history struct {
	began time.Time
	epoch atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
	acked map[int64]string // revision → what was written at it
}

func (h *history) now() int64 { return time.Since(h.began).Nanoseconds() }

func (h *history) add(op porcupine.Operation, rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	if rev > 0 {
		if h.acked == nil {
			h.acked = map[int64]string{}
		}
		h.acked[rev] = op.Input.(registerInput).value
	}
}

func (h *history) check(t *testing.T) {
	t.Helper()
	unknown := 0
	for _, op := range h.ops {
		if op.Output.(registerOutput).unknown {
			unknown++
		}
	}
	t.Logf("%d operations, %d of unknown outcome, in %d epochs", len(h.ops), unknown, h.epoch.Load())
	if len(h.ops)-unknown < 100 {
		t.Error("hardly anything was answered: nothing is shown")
	}
	result, info := porcupine.CheckOperationsVerbose(registerModel(), h.ops, 20*time.Second)
	if result == porcupine.Ok {
		return
	}
	t.Errorf("linearizable: %s", result)
	file, err := os.CreateTemp("", "history-*.html")
	if err == nil {
		err = errors.Join(porcupine.Visualize(registerModel(), info, file), file.Close())
	}
	t.Logf("drawn in %s (%v)", file.Name(), err)
}

package filters

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	"github.com/cockroachdb/datadriven"
	"github.com/prometheus/client_golang/prometheus"
)

// header authenticates by the X-User header: "name" or "name/group"; "bad" is refused.
type header struct{}

func (header) Authenticate(r *http.Request) (*request.User, bool, error) {
	name, group, _ := strings.Cut(r.Header.Get("X-User"), "/")
	if name == "bad" {
		return nil, false, io.ErrUnexpectedEOF
	}
	return &request.User{Name: name, Groups: []string{group, request.GroupAuthenticated}}, true, nil
}

// all allows everything but to those named "nobody".
type all struct{}

func (all) Authorize(_ context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	if u.Name == "nobody" || i.Verb == "impersonate" && i.Name == "root" {
		return request.NoOpinion, "not for you", nil
	}
	return request.Allow, "everybody may", nil
}

// hall is a chain whose requests stay until it is closed.
type hall struct {
	t       *testing.T
	network http.Handler
	reg     *prometheus.Registry
	entered chan struct{}
	hold    chan struct{}
	wg      sync.WaitGroup
}

func newHall(t *testing.T, reads, writes int64) *hall {
	h := &hall{t: t, reg: prometheus.NewRegistry(), entered: make(chan struct{}), hold: make(chan struct{})}
	h.network, _ = Chain(Config{Log: quiet(), Registry: h.reg, Authenticator: header{}, Authorizer: all{}, MaxReads: reads, MaxWrites: writes,
		MaxWatches: 100, MaxStreams: 40},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.entered <- struct{}{}
			<-h.hold
		}))
	t.Cleanup(func() { close(h.hold); h.wg.Wait() })
	return h
}

// send reports whether the request got in (and stays), or its answer.
func (h *hall) send(user, method, target string, body io.Reader) string {
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("X-User", user)
	done := make(chan int, 1)
	h.wg.Go(func() {
		w := httptest.NewRecorder()
		h.network.ServeHTTP(w, r)
		done <- w.Code
	})
	select {
	case <-h.entered:
		return "in"
	case code := <-done:
		return strconv.Itoa(code)
	}
}

// TestSeats shows who gets how many places: "user method path × n" in, how many
// got in and what the others were told out. Requests stay until the file's end.
func TestSeats(t *testing.T) {
	datadriven.RunTest(t, "testdata/seats.txt", func(t *testing.T, d *datadriven.TestData) string {
		var reads, writes int64
		d.ScanArgs(t, "reads", &reads)
		d.ScanArgs(t, "writes", &writes)
		h := newHall(t, reads, writes)
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			f := strings.Fields(line)
			n, err := strconv.Atoi(f[3])
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for range n {
				got[h.send(f[0], f[1], strings.ReplaceAll(f[2], "SELECTOR", strings.Repeat("x", 1000)), nil)]++
			}
			fmt.Fprintf(&out, "%s: %d in", f[0], got["in"])
			delete(got, "in")
			for code, n := range got {
				fmt.Fprintf(&out, ", %d × %s", n, code)
			}
			out.WriteByte('\n')
		}
		return out.String()
	})
}

// TestUnfinishedBodies: requests whose bodies do not come take no place from
// anybody, and one user may have only so many of them.
func TestUnfinishedBodies(t *testing.T) {
	h := newHall(t, 40, 20)
	const path = "/api/v1/namespaces/d/pods"
	var ends []*io.PipeWriter
	codes := make(chan int, 300)
	var wg sync.WaitGroup
	for range cap(codes) {
		in, out := io.Pipe()
		ends = append(ends, out)
		r := httptest.NewRequest("POST", path, in)
		r.Header.Set("X-User", "tenant")
		wg.Go(func() {
			w := httptest.NewRecorder()
			h.network.ServeHTTP(w, r)
			codes <- w.Code
		})
	}
	for range cap(codes) - 100 { // what is beyond the bound is refused, the others wait
		if code := <-codes; code != http.StatusTooManyRequests {
			t.Fatalf("a request with an unfinished body: %d", code)
		}
	}
	for _, user := range []string{"neighbour", "admin/system:masters", "system:node:n1/system:nodes"} {
		if got := h.send(user, "POST", path, strings.NewReader("{}")); got != "in" {
			t.Errorf("%s is told %s while another's bodies do not come", user, got)
		}
	}
	if got := h.send("tenant", "POST", path, strings.NewReader("{}")); got != "429" {
		t.Errorf("one more body of the same user: %s", got)
	}
	if got := h.send("nobody", "POST", path, ends0()); got != "403" {
		t.Errorf("who may not write is told %s", got)
	}
	for _, e := range ends {
		e.CloseWithError(io.ErrUnexpectedEOF)
	}
	wg.Wait()
	for range 100 {
		if code := <-codes; code != http.StatusBadRequest {
			t.Fatalf("a body that broke off: %d", code)
		}
	}
	if got := h.send("tenant", "POST", path, strings.NewReader("{}")); got != "in" {
		t.Errorf("after the bodies broke off: %s", got)
	}
}

// ends0 is a body that nobody may wait for.
func ends0() io.Reader { in, _ := io.Pipe(); return in }

// TestBodyBytes: bodies are bounded each and together, and given back.
func TestBodyBytes(t *testing.T) {
	h := newHall(t, 40, 400)
	const path = "/api/v1/namespaces/d/pods"
	big := strings.Repeat("x", 3<<20)
	for name, body := range map[string]io.Reader{"announced": strings.NewReader(big + "x"), "streamed": io.MultiReader(strings.NewReader(big), strings.NewReader("x"))} {
		if got := h.send("tenant", "POST", path, body); got != "413" {
			t.Errorf("one byte too many, %s: %s", name, got)
		}
	}
	in := 0
	for range 40 {
		if h.send("tenant", "POST", path, strings.NewReader(big)) == "in" {
			in++
		}
	}
	if in < 15 || in > 22 {
		t.Errorf("%d bodies of 3 MiB of one user are held", in)
	}
	if got := h.send("neighbour", "POST", path, strings.NewReader(big)); got != "in" {
		t.Errorf("another user: %s", got)
	}
}

// TestRefusalsAreCounted: an answer is in apiserver_request_total whoever gave it.
func TestRefusalsAreCounted(t *testing.T) {
	h := newHall(t, 1, 1)
	const path = "/api/v1/namespaces/d/pods"
	h.send("tenant", "GET", path, nil)
	for user, want := range map[string]string{"bad": "401", "nobody": "403", "tenant": "429"} {
		if got := h.send(user, "GET", path, nil); got != want {
			t.Fatalf("%s: %s", user, got)
		}
	}
	families, err := h.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "apiserver_request_total" && l.GetName() == "code" {
					seen[l.GetValue()] = m.GetCounter().GetValue() == 1
				}
			}
		}
	}
	for _, code := range []string{"401", "403", "429"} {
		if !seen[code] {
			t.Errorf("%s is not counted: %v", code, seen)
		}
	}
}

// TestWatchesGrowWithNodes: the agents of a large cluster, which are one account, get what
// they need; on a small one the account has its half of the fixed part. Nodes that go take
// their part with them.
func TestWatchesGrowWithNodes(t *testing.T) {
	const agent = "system:serviceaccount:agents:agent"
	nodes := 0
	l := newLongRunning(bounds.Watches, 1, func() int { return nodes })
	take := func(most int) (n int) {
		for n < most {
			p := &place{pool: l.watches[others], who: account(&request.User{Name: agent}), n: 1}
			if !p.take() && !l.more(p) {
				return n
			}
			n++
		}
		return n
	}
	if n := take(1 << 20); n != bounds.Watches/2 {
		t.Errorf("%d watches without nodes", n)
	}
	nodes = 5000
	if n := take(5000*15*4 - bounds.Watches/2); n != 5000*15*4-bounds.Watches/2 {
		t.Errorf("%d more watches for 5000 nodes", n)
	}
	for _, who := range []string{"second", "third"} {
		p := &place{pool: l.watches[others], who: who, n: 5000 * 15}
		if !p.take() {
			t.Errorf("no room for the %s namespace's agents", who)
		}
	}
	nodes = 10
	if p := (&place{pool: l.watches[others], who: "late", n: 1}); l.more(p) {
		t.Error("watches are begun beyond what there is")
	}
}

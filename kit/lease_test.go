package kit

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// leases is an API server with one lease, which may stop answering.
type leases struct {
	mu       sync.Mutex
	have     *coordinationv1.Lease
	revision int
	writes   []time.Time   // when the lease was last made or kept somebody's
	lag      time.Duration // between doing and answering
}

func (s *leases) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	code, out := s.answer(r)
	lag := s.lag
	s.mu.Unlock()
	time.Sleep(lag)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(out)
}

func (s *leases) answer(r *http.Request) (int, any) {
	resource := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	refuse := func(e *apierrors.StatusError) (int, any) { return int(e.Status().Code), e.Status() }
	var in coordinationv1.Lease
	if body, err := io.ReadAll(r.Body); err != nil || len(body) > 0 && json.Unmarshal(body, &in) != nil {
		return refuse(apierrors.NewBadRequest("unreadable"))
	}
	switch {
	case r.Method == http.MethodGet && s.have == nil:
		return refuse(apierrors.NewNotFound(resource, "role"))
	case r.Method == http.MethodPost && s.have != nil:
		return refuse(apierrors.NewAlreadyExists(resource, "role"))
	case r.Method == http.MethodPut && s.have == nil:
		return refuse(apierrors.NewNotFound(resource, "role"))
	case r.Method == http.MethodPut && in.ResourceVersion != s.have.ResourceVersion:
		return refuse(apierrors.NewConflict(resource, "role", errors.New("changed")))
	case r.Method != http.MethodGet:
		s.put(&in)
	}
	return http.StatusOK, s.have
}

func (s *leases) put(l *coordinationv1.Lease) {
	s.revision++
	s.have = l.DeepCopy()
	s.have.UID, s.have.ResourceVersion = "u", strconv.Itoa(s.revision)
	s.have.TypeMeta = metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}
	s.writes = append(s.writes, time.Now())
}

// path is how one candidate reaches the server, and may be cut off from it.
type path struct {
	server http.Handler
	mu     sync.Mutex
	cut    chan struct{} // while not nil: nothing is answered until it is closed
	deaf   bool          // not even to a request that gives up
}

func (p *path) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	cut, deaf := p.cut, p.deaf
	p.mu.Unlock()
	if cut != nil {
		gone := r.Context().Done()
		if deaf {
			gone = nil
		}
		select {
		case <-gone:
			return nil, r.Context().Err()
		case <-cut:
			return nil, errors.New("connection reset")
		}
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	p.server.ServeHTTP(w, r)
	return w.Result(), nil
}

func (p *path) cutOff(t *testing.T, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.deaf = make(chan struct{}), deaf
	t.Cleanup(p.restore)
}

func (p *path) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != nil {
		close(p.cut)
	}
	p.cut = nil
}

// stood is a candidate that stands for the lease.
type stood struct {
	path  *path
	stop  context.CancelFunc
	began chan time.Time
	ended chan time.Time // when its work was cancelled
}

// stand makes candidates who must never work at once.
func stand(t *testing.T, server http.Handler, names ...string) []*stood {
	var working atomic.Int32
	var all sync.WaitGroup
	var out []*stood
	for _, name := range names {
		ctx, stop := context.WithCancel(context.Background())
		c := &stood{path: &path{server: server}, stop: stop, began: make(chan time.Time, 100), ended: make(chan time.Time, 100)}
		kube, err := kubernetes.NewForConfig(&rest.Config{Host: "http://server", Transport: c.path, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
		if err != nil {
			t.Fatal(err)
		}
		l := Lease{Kube: kube, Name: "role", Identity: name, Log: slog.New(slog.DiscardHandler)}
		all.Go(func() {
			err := Lead(ctx, l, func(ctx context.Context) error {
				if working.Add(1) > 1 {
					t.Error("two candidates work at once")
				}
				c.began <- time.Now()
				<-ctx.Done()
				working.Add(-1)
				c.ended <- time.Now()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		out = append(out, c)
	}
	t.Cleanup(func() {
		for _, c := range out {
			c.stop()
		}
		all.Wait()
		if n := working.Load(); n != 0 {
			t.Errorf("%d work after the end", n)
		}
	})
	return out
}

// TestLeadTakesTurns: the second one takes over when the first stops, and a lost lease parks the
// work until it is won again.
func TestLeadTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leases{}
		c := stand(t, server, "a", "b")
		a, b := c[0], c[1]
		select {
		case <-a.began:
		case <-b.began:
			a, b = b, a
		}
		time.Sleep(time.Hour)
		if len(a.began)+len(a.ended)+len(b.began) != 0 {
			t.Fatal("the lease changed hands although nobody was in need")
		}
		// It is taken away by a third, for a minute: work is parked.
		server.mu.Lock()
		l := server.have.DeepCopy()
		thief, minute, now := "thief", int32(60), metav1.NowMicro()
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime = &thief, &minute, &now
		server.put(l)
		server.mu.Unlock()
		taken := time.Now()
		if at := (<-a.ended).Sub(taken); at > 3*time.Second {
			t.Errorf("parked after %s", at)
		}
		next := a
		select {
		case <-a.began:
		case <-b.began:
			next = b
		}
		if d := time.Since(taken); d < time.Minute || d > 70*time.Second {
			t.Errorf("taken again after %s, want when the minute is over", d)
		}
		other := map[*stood]*stood{a: b, b: a}[next]
		next.stop()
		stopped := time.Now()
		<-next.ended
		<-other.began
		if d := time.Since(stopped); d > 5*time.Second {
			t.Errorf("the other took over after %s, want at once: the lease was given up", d)
		}
		server.mu.Lock()
		defer server.mu.Unlock()
		spec := server.have.Spec
		if *spec.LeaseDurationSeconds != 15 || *spec.LeaseTransitions < 2 || spec.AcquireTime == nil || spec.RenewTime == nil {
			t.Errorf("lease is %+v", spec)
		}
	})
}

// TestAServerThatStopsAnswering: the holder's work is cancelled before the other may take the lease, also
// when requests do not end, and when the last answer came late.
func TestAServerThatStopsAnswering(t *testing.T) {
	for _, x := range []struct {
		name string
		deaf bool
		lag  time.Duration
	}{{name: "to the holder"}, {name: "not even to give up", deaf: true}, {name: "after it was slow", lag: 3 * time.Second}, {name: "slow and deaf", deaf: true, lag: 3 * time.Second}} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &leases{}
				c := stand(t, server, "a", "b")
				a, b := c[0], c[1]
				select {
				case <-a.began:
				case <-b.began:
					a, b = b, a
				}
				server.mu.Lock()
				server.lag = x.lag
				server.mu.Unlock()
				time.Sleep(time.Minute)
				a.path.cutOff(t, x.deaf)
				ended := <-a.ended
				server.mu.Lock()
				last := server.writes[len(server.writes)-1]
				server.mu.Unlock()
				if d := ended.Sub(last); d > 10*time.Second {
					t.Errorf("work was cancelled %s after the last renewal, want within the renew deadline of 10s", d)
				}
				began := <-b.began
				if d := began.Sub(last); d < 15*time.Second || d > 30*time.Second {
					t.Errorf("the other took over after %s, want soon after the lease's 15s", d)
				}
				a.path.restore()
				time.Sleep(time.Minute)
				if len(a.began) != 0 {
					t.Error("the first one works again although the other holds the lease")
				}
			})
		})
	}
}

// TestLeadEndsWithItsWork: an error or a panic of the work ends Lead, and the lease is given up.
func TestLeadEndsWithItsWork(t *testing.T) {
	for name, run := range map[string]func(context.Context) error{
		"error": func(context.Context) error { return errors.New("broken") },
		"panic": func(context.Context) error { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &leases{}
				kube, err := kubernetes.NewForConfig(&rest.Config{Host: "http://server", Transport: &path{server: server}, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
				if err != nil {
					t.Fatal(err)
				}
				err = Lead(t.Context(), Lease{Kube: kube, Name: "role", Identity: "a", Log: slog.New(slog.DiscardHandler)}, run)
				if err == nil || holderOf(server.have) != "" {
					t.Errorf("err %v, held by %q", err, holderOf(server.have))
				}
			})
		})
	}
}

// TestAMachineThatSlept: the monotonic clock stands still while a machine sleeps, the lease does not.
func TestAMachineThatSlept(t *testing.T) {
	c := candidate{Lease: Lease{Renew: 10 * time.Second}}
	now := time.Now()
	c.renewed = now
	if c.left() <= 0 {
		t.Error("no time left at once")
	}
	c.renewed = now.Round(0).Add(-time.Minute) // by the wall clock only
	if c.left() > 0 {
		t.Error("time is left though a minute has passed")
	}
}

// TestLeaseTimesMustFit: a deadline beyond the lease would let two work at once.
func TestLeaseTimesMustFit(t *testing.T) {
	for _, l := range []Lease{
		{Duration: 10, Renew: 10, Retry: 2}, {Duration: 15, Renew: 2, Retry: 2}, {Duration: 15, Renew: 10, Retry: 0},
	} {
		l.Log = slog.New(slog.DiscardHandler)
		if err := Lead(t.Context(), l, nil); err == nil {
			t.Errorf("%v, %v, %v are accepted", l.Duration, l.Renew, l.Retry)
		}
	}
}

package kit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"hyperkube/internal/bounds"
)

// TestTurns: each group's keys stay in order, and between two keys of a group every other
// group that has any had one.
func TestTurns(t *testing.T) {
	type key struct{ group, n int }
	rapid.Check(t, func(t *rapid.T) {
		var q turns[key]
		waiting, last := map[int][]key{}, []int{}
		n := 0
		pop := func() {
			k := q.pop()
			if want := waiting[k.group][0]; k != want {
				t.Fatalf("%v comes before %v", k, want)
			}
			if waiting[k.group] = waiting[k.group][1:]; len(waiting[k.group]) == 0 {
				delete(waiting, k.group)
			}
			for g := range waiting { // whoever waited longer than this group has had its turn since
				if i, j := slices.Index(last, k.group), slices.Index(last, g); g != k.group && j >= 0 && i > j {
					t.Fatalf("group %d has another turn before %d", k.group, g)
				}
			}
			last = append(slices.DeleteFunc(last, func(g int) bool { return g == k.group }), k.group)
			if len(waiting[k.group]) == 0 {
				last = slices.DeleteFunc(last, func(g int) bool { return g == k.group })
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if q.len > 0 && rapid.Bool().Draw(t, "pop") {
				pop()
				continue
			}
			k := key{rapid.IntRange(0, 3).Draw(t, "group"), n}
			n++
			if len(waiting[k.group]) == 0 {
				last = append(last, k.group)
			}
			waiting[k.group] = append(waiting[k.group], k)
			q.push(fmt.Sprint(k.group), k)
		}
		for q.len > 0 {
			pop()
		}
		if len(waiting) > 0 || len(q.groups) > 0 || !q.order.empty() {
			t.Fatalf("left: %v, %v", waiting, q.groups)
		}
	})
}

// TestNamespacesTakeTurns: who has a thousand keys waiting makes others wait for one of
// them, not for all.
func TestNamespacesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, at := time.Now(), time.Duration(0)
		c := NewController(ControllerOptions{Name: "test", Workers: 2, Log: slog.New(slog.DiscardHandler), Reconcile: func(_ context.Context, k Key) (Result, error) {
			if k.Namespace == "small" {
				at = time.Since(start)
				return Result{}, nil
			}
			time.Sleep(time.Second)
			return After(time.Millisecond), nil // there is always more to do
		}})
		for i := range 1000 {
			c.Add(Key{"large", fmt.Sprint(i)})
		}
		c.AddAfter(Key{"small", "x"}, time.Second/2) // all workers have one of the others by then
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if at != time.Second { // as soon as a worker is free
			t.Errorf("the key of another namespace was worked on after %s", at)
		}
	})
}

// shop is a controller with offers, in which comparing in the namespace "slow" takes an hour.
type shop struct {
	c      *Controller
	offers *Offers
	mu     sync.Mutex
	looked []Key
	asked  int
}

func newShop(objects map[string][]string) *shop {
	s := &shop{}
	s.c = NewController(ControllerOptions{Name: "test", Workers: 2, Log: slog.New(slog.DiscardHandler), Reconcile: func(_ context.Context, k Key) (Result, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looked = append(s.looked, k)
		return Result{}, nil
	}})
	s.offers = offering(s.c, func(namespace string) (out []*corev1.Service) {
		for _, name := range objects[namespace] {
			o := &corev1.Service{}
			o.Namespace, o.Name = namespace, name
			out = append(out, o)
		}
		return out
	}, func(o *corev1.Service, labels map[string]string) bool {
		s.mu.Lock()
		s.asked++
		s.mu.Unlock()
		if o.Namespace == "slow" {
			time.Sleep(time.Hour)
		}
		return labels["app"] == o.Name
	})
	return s
}

// TestOffersKeepNobodyWaiting: an informer's handler does not wait for a comparison, and
// nor do other namespaces.
func TestOffersKeepNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(map[string][]string{"slow": {"a"}, "quick": {"a", "b"}})
		start := time.Now()
		for i := range 100 {
			s.offers.Offer(s.c, "slow", map[string]string{"app": fmt.Sprint(i)})
		}
		s.offers.Offer(s.c, "quick", map[string]string{"app": "b"})
		if d := time.Since(start); d > 0 {
			t.Errorf("the handler waited %s", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan struct{})
		go func() { defer close(done); _ = s.c.Run(ctx) }()
		<-ctx.Done()
		s.mu.Lock()
		got := slices.Clone(s.looked)
		s.mu.Unlock()
		if want := []Key{{"quick", "b"}}; !slices.Equal(got, want) {
			t.Errorf("reconciled %v within a minute, want %v", got, want)
		}
		<-done // after the comparison that is under way
	})
}

// TestOffersLoseNothing: whatever is offered is compared; the same labels once, and when
// there are too many of them everybody looks for himself.
func TestOffersLoseNothing(t *testing.T) {
	for _, distinct := range []int{1, bounds.OffersCompared, 3*bounds.OffersCompared + 1, bounds.Offers, 3 * bounds.Offers} {
		synctest.Test(t, func(t *testing.T) {
			var names []string
			for i := range distinct {
				names = append(names, fmt.Sprint(i))
			}
			s := newShop(map[string][]string{"n": names})
			ctx, cancel := context.WithCancel(t.Context())
			for _, name := range names {
				for range 3 {
					s.offers.Offer(s.c, "n", map[string]string{"app": name})
				}
			}
			done := make(chan struct{})
			go func() { defer close(done); _ = s.c.Run(ctx) }()
			synctest.Wait()
			cancel()
			<-done
			if len(s.looked) != distinct {
				t.Errorf("%d of %d objects were reconciled", len(s.looked), distinct)
			}
			if most := distinct * (distinct + 1); s.asked > most {
				t.Errorf("%d comparisons for %d labels", s.asked, distinct)
			}
			if len(s.offers.waiting) != 0 {
				t.Errorf("still waiting: %v", s.offers.waiting)
			}
		})
	}
}

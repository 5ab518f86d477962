package allocate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/store"
)

// between calls meanwhile after each list of services, as other servers act at any time.
type between struct {
	store.Reader
	meanwhile func()
}

func (b *between) Collection(group, resource string) (store.Collection, bool) {
	c, ok := b.Reader.Collection(group, resource)
	if ok && resource == "services" {
		c = &listed{c, b}
	}
	return c, ok
}

type listed struct {
	store.Collection
	b *between
}

func (l *listed) List(ctx context.Context, o store.ListOptions) (*store.List, error) {
	list, err := l.Collection.List(ctx, o)
	if f := l.b.meanwhile; f != nil {
		f()
	}
	return list, err
}

func mustLook(t *testing.T, r *repairer) {
	t.Helper()
	if _, err := r.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRepairSparesPortsTakenAnew: a port that a write under way has taken is not freed because
// another write had it at the look before, or has it at the very moment.
func TestRepairSparesPortsTakenAnew(t *testing.T) {
	const port = 30500
	for _, when := range []string{"between two looks", "during a look"} {
		t.Run(when, func(t *testing.T) {
			s := &between{Reader: newStore()}
			a := newAllocator(t, s, Options{})
			r := &repairer{a: a}
			defer r.forget()
			takeAnew := func() {
				s.meanwhile = nil
				a.ReleasePort(t.Context(), port)
				if _, err := a.AllocatePort(t.Context(), web, port); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.AllocatePort(t.Context(), web, port); err != nil {
				t.Fatal(err)
			}
			mustLook(t, r)
			if when == "during a look" {
				s.meanwhile = takeAnew
			} else {
				takeAnew()
			}
			mustLook(t, r)
			if err := a.CheckPort(t.Context(), port); !errors.Is(err, ErrPortTaken) {
				t.Fatalf("the port can be given out twice: %v", err)
			}
			// Whoever took it died, though: then it has leaked.
			mustLook(t, r)
			if err := a.CheckPort(t.Context(), port); err != nil {
				t.Errorf("a leaked port is not freed: %v", err)
			}
		})
	}
}

// TestRepairSparesServicesThatGo: what a service gave back while somebody looked is not taken for it again.
func TestRepairSparesServicesThatGo(t *testing.T) {
	inner := newStore()
	s := &between{Reader: inner}
	a := newAllocator(t, s, Options{})
	const ip, port = "10.96.0.5", 30001
	if _, err := a.AllocateIP(t.Context(), web, ip); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AllocatePort(t.Context(), web, port); err != nil {
		t.Fatal(err)
	}
	inner.Put("services", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: web.Name},
		Spec:       corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{NodePort: port}}},
	})
	s.meanwhile = func() {
		s.meanwhile = nil
		services, _ := inner.Collection("", "services")
		if _, err := services.Delete(t.Context(), web, nil); err != nil {
			t.Fatal(err)
		}
		a.ReleaseIP(t.Context(), ip)
		a.ReleasePort(t.Context(), port)
	}
	r := &repairer{a: a}
	defer r.forget()
	mustLook(t, r)
	if err := a.CheckIP(t.Context(), ip); err != nil {
		t.Errorf("address: %v", err)
	}
	if err := a.CheckPort(t.Context(), port); err != nil {
		t.Errorf("port: %v", err)
	}
}

// TestRepairSparesNewServices: one that came and went after the addresses were read is not taken for one
// whose address was lost.
func TestRepairSparesNewServices(t *testing.T) {
	inner := newStore()
	s := &between{Reader: inner}
	a := newAllocator(t, s, Options{})
	const ip = "10.96.0.5"
	inner.Put("services", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: web.Name}, Spec: corev1.ServiceSpec{ClusterIP: ip, ClusterIPs: []string{ip}},
	})
	s.meanwhile = func() {
		services, _ := inner.Collection("", "services")
		if _, err := services.Delete(t.Context(), web, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := &repairer{a: a}
	defer r.forget()
	mustLook(t, r)
	if err := a.CheckIP(t.Context(), ip); err != nil {
		t.Errorf("%v", err)
	}
}

// TestRun: what leaked is free within minutes, and Run ends with its context.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		take, check func(context.Context, *Allocator) error
	}{
		"port": {func(ctx context.Context, a *Allocator) error {
			_, err := a.AllocatePort(ctx, web, 30500)
			return err
		}, func(ctx context.Context, a *Allocator) error { return a.CheckPort(ctx, 30500) }},
		"address": {func(ctx context.Context, a *Allocator) error {
			_, err := a.AllocateIP(ctx, web, "10.96.0.77")
			return err
		}, func(ctx context.Context, a *Allocator) error { return a.CheckIP(ctx, "10.96.0.77") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAllocator(t, newStore(), Options{})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- a.Run(ctx) }()
				synctest.Wait()
				time.Sleep(repairEvery - repairGrace/2) // a little before the second look
				if err := c.take(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * repairGrace)
				synctest.Wait()
				if err := c.check(t.Context(), a); err != nil {
					t.Error(err)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

package allocate

import (
	"context"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

func newStore() *storetest.Store {
	return storetest.New("services", "ipaddresses.networking.k8s.io", "rangeallocations")
}

type fatal interface {
	Helper()
	Fatal(...any)
}

func newAllocator(t fatal, s store.Reader, o Options) *Allocator {
	t.Helper()
	o.Store = s
	if !o.Services.IsValid() {
		o.Services = netip.MustParsePrefix("10.96.0.0/24")
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var web = store.Key{Namespace: "default", Name: "web"}

func TestBands(t *testing.T) {
	for cidr, want := range map[string]struct{ static, last uint64 }{
		"10.0.0.0/29": {1, 6}, "10.0.0.0/24": {16, 254}, "10.0.0.0/20": {256, 4094}, "10.0.0.0/16": {256, 65534}, "fd00::/108": {256, 1048575},
	} {
		r, err := newAddressRange(netip.MustParsePrefix(cidr))
		if err != nil || r.static != want.static || r.last != want.last {
			t.Errorf("%s: static below %d, last %d (%v), want %v", cidr, r.static, r.last, err, want)
		}
	}
	if _, err := newAddressRange(netip.MustParsePrefix("10.0.0.0/30")); err == nil {
		t.Error("a range of four addresses was accepted")
	}
	for size, want := range map[int]int{2768: 86, 16: 0, 100: 16, 60000: 128} {
		if got := portBand(size); got != want {
			t.Errorf("ports %d: band %d, want %d", size, got, want)
		}
	}
}

func TestAddressesAskedFor(t *testing.T) {
	a := newAllocator(t, newStore(), Options{})
	for _, c := range []struct{ want, problem string }{
		{"10.96.0.1", ""}, {"10.96.0.10", ""}, {"10.96.0.1", "provided IP is already allocated"},
		{"10.96.0.0", "the provided IP (10.96.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/24"},
		{"10.96.0.255", "the provided IP (10.96.0.255) is not in the valid range. The range of valid IPs is 10.96.0.0/24"},
		{"10.97.0.1", "the provided IP (10.97.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/24"},
		{"x", `"x" is not an address`},
	} {
		got, err := a.AllocateIP(t.Context(), web, c.want)
		if c.problem == "" && (err != nil || got != c.want) || c.problem != "" && (err == nil || err.Error() != c.problem) {
			t.Errorf("%s: %q, %v", c.want, got, err)
		}
	}
	if a.Kubernetes().String() != "10.96.0.1" || a.DNS().String() != "10.96.0.10" {
		t.Errorf("first %s, tenth %s", a.Kubernetes(), a.DNS())
	}
	a.ReleaseIP(t.Context(), "10.96.0.1")
	a.ReleaseIP(t.Context(), "10.96.0.1")
	if err := a.CheckIP(t.Context(), "10.96.0.1"); err != nil {
		t.Errorf("released, yet %v", err)
	}
}

// Nobody is given the first and the tenth address, all others are given out once,
// the upper band first.
func TestAddressesRunOut(t *testing.T) {
	s := newStore()
	a := newAllocator(t, s, Options{})
	seen := map[string]bool{}
	for i := range 252 {
		ip, err := a.AllocateIP(t.Context(), web, "")
		if err != nil || seen[ip] {
			t.Fatalf("%d: %s %v (twice: %v)", i, ip, err, seen[ip])
		}
		seen[ip] = true
		if low := netip.MustParseAddr(ip).As4()[3] < 16; low != (i >= 239) {
			t.Fatalf("%d: %s of the wrong band", i, ip)
		}
	}
	if _, err := a.AllocateIP(t.Context(), web, ""); !errors.Is(err, ErrFull) {
		t.Fatalf("full: %v", err)
	}
	if seen["10.96.0.1"] || seen["10.96.0.10"] {
		t.Fatal("a reserved address was given out")
	}
}

// Two servers on one store, many goroutines: nothing is given out twice.
func TestServersAgree(t *testing.T) {
	s := newStore()
	servers := []*Allocator{newAllocator(t, s, Options{}), newAllocator(t, s, Options{})}
	var mu sync.Mutex
	ips, ports := map[string]int{}, map[int32]int{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 25 {
				ip, err := servers[i%2].AllocateIP(t.Context(), web, "")
				port, perr := servers[i%2].AllocatePort(t.Context(), web, 0)
				if err != nil || perr != nil {
					t.Error(err, perr)
				}
				mu.Lock()
				ips[ip]++
				ports[port]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(ips) != 200 || len(ports) != 200 {
		t.Fatalf("200 allocations gave %d addresses and %d ports", len(ips), len(ports))
	}
}

// The allocator against a set: whatever is asked for, released and repaired, both
// hold the same.
func TestAllocatorAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		a := newAllocator(t, newStore(), Options{
			Services: netip.MustParsePrefix("10.0.0.0/28"), Ports: PortRange{First: 100, Last: 119},
			Random: func(n uint64) uint64 { return rapid.Uint64Range(0, n-1).Draw(t, "start") },
		})
		ips, ports := map[string]bool{}, map[int32]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"ip": func(t *rapid.T) {
				want := ""
				if rapid.Bool().Draw(t, "static") {
					want = netip.AddrFrom4([4]byte{10, 0, 0, rapid.Uint8Range(0, 17).Draw(t, "last")}).String()
				}
				got, err := a.AllocateIP(ctx, web, want)
				last := byte(0)
				if want != "" {
					last = netip.MustParseAddr(want).As4()[3]
				}
				outside := want != "" && (last == 0 || last > 14)
				free := 0
				for i := byte(1); i <= 14; i++ {
					if ip := netip.AddrFrom4([4]byte{10, 0, 0, i}).String(); !ips[ip] && i != 1 && i != 10 {
						free++
					}
				}
				var bad *NotInRange
				switch {
				case outside && !errors.As(err, &bad), want != "" && !outside && ips[want] != errors.Is(err, ErrAllocated),
					want == "" && (free == 0) != errors.Is(err, ErrFull), err == nil && (ips[got] || want != "" && got != want):
					t.Fatalf("ip %q: %q %v, held %v", want, got, err, ips)
				}
				if err == nil {
					ips[got] = true
				}
			},
			"port": func(t *rapid.T) {
				want := rapid.SampledFrom([]int32{0, 0, 99, 100, 105, 119, 120}).Draw(t, "want")
				got, err := a.AllocatePort(ctx, web, want)
				var bad *NotInRange
				switch {
				case (want == 99 || want == 120) != errors.As(err, &bad), want != 0 && !errors.As(err, &bad) && ports[want] != errors.Is(err, ErrPortTaken),
					want == 0 && (len(ports) == 20) != errors.Is(err, ErrFull), err == nil && (ports[got] || want != 0 && got != want):
					t.Fatalf("port %d: %d %v, held %v", want, got, err, ports)
				}
				if err == nil {
					ports[got] = true
				}
			},
			"release": func(t *rapid.T) {
				ip := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Uint8Range(1, 14).Draw(t, "last")}).String()
				port := rapid.Int32Range(99, 120).Draw(t, "port")
				a.ReleaseIP(ctx, ip)
				a.ReleasePort(ctx, port)
				delete(ips, ip)
				delete(ports, port)
			},
			"": func(t *rapid.T) {
				for port := int32(100); port < 120; port++ {
					if taken := errors.Is(a.CheckPort(ctx, port), ErrPortTaken); taken != ports[port] {
						t.Fatalf("port %d: taken %v, want %v", port, taken, ports[port])
					}
				}
			},
		})
	})
}

func TestRepair(t *testing.T) {
	s, now := newStore(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAllocator(t, s, Options{Now: func() time.Time { return now }})
	leaked, err := a.AllocateIP(t.Context(), web, "10.96.0.77")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.AllocatePort(t.Context(), web, 30500); err != nil {
		t.Fatal(err)
	}
	s.Put("services", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "lost"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.5", ClusterIPs: []string{"10.96.0.5"}, Ports: []corev1.ServicePort{{NodePort: 30001}}},
	})
	r := &repairer{a: a}
	defer r.forget()
	if again, err := r.look(t.Context()); err != nil || !again {
		t.Fatal(again, err)
	}
	if !errors.Is(a.CheckIP(t.Context(), leaked), ErrAllocated) || !errors.Is(a.CheckPort(t.Context(), 30500), ErrPortTaken) {
		t.Fatal("what may be of a write under way was freed at once")
	}
	now = now.Add(2 * time.Minute)
	if again, err := r.look(t.Context()); err != nil || again {
		t.Fatal(again, err)
	}
	if err := a.CheckIP(t.Context(), leaked); err != nil {
		t.Errorf("leaked address: %v", err)
	}
	if err := a.CheckPort(t.Context(), 30500); err != nil {
		t.Errorf("leaked port: %v", err)
	}
	if !errors.Is(a.CheckIP(t.Context(), "10.96.0.5"), ErrAllocated) || !errors.Is(a.CheckPort(t.Context(), 30001), ErrPortTaken) {
		t.Error("what a service holds was not taken back")
	}
}

// TestRepairBesideUnreadable: a service that cannot be read may hold anything.
func TestRepairBesideUnreadable(t *testing.T) {
	s, now := newStore(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAllocator(t, s, Options{Now: func() time.Time { return now }})
	if _, err := a.AllocateIP(t.Context(), web, "10.96.0.77"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AllocatePort(t.Context(), web, 30500); err != nil {
		t.Fatal(err)
	}
	s.Spoil("services", web)
	r := &repairer{a: a}
	defer r.forget()
	for range 3 {
		if _, err := r.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Minute)
	}
	if err := a.CheckIP(t.Context(), "10.96.0.77"); !errors.Is(err, ErrAllocated) {
		t.Errorf("its address was freed: %v", err)
	}
	if err := a.CheckPort(t.Context(), 30500); !errors.Is(err, ErrPortTaken) {
		t.Errorf("its port was freed: %v", err)
	}
}

// The bits lie as every other Kubernetes keeps them: bit i is the port first+i.
func TestPortsAsStored(t *testing.T) {
	s := newStore()
	a := newAllocator(t, s, Options{})
	for _, port := range []int32{30000, 30009} {
		if _, err := a.AllocatePort(t.Context(), web, port); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := s.Collection("", portsPlural)
	e, err := c.Get(t.Context(), store.Key{Name: portsName}, store.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	r := e.Object.(*corev1.RangeAllocation)
	if want := big.NewInt(1<<9 | 1).Bytes(); r.Range != "30000-32767" || !slices.Equal(r.Data, want) {
		t.Errorf("%s %x, want %x", r.Range, r.Data, want)
	}
}

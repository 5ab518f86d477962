package proxy

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"hyperkube/internal/nft"
)

// Size of the cluster that the proxy must bear.
const (
	manyServices  = 5000
	manyEndpoints = 50 // of each
)

func bigPort(svc, endpoints int) Port {
	p := Port{Namespace: "bench", Service: fmt.Sprintf("svc-%d", svc), Proto: 6, Port: 80,
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 32, byte(svc >> 8), byte(svc)})}}
	for e := range endpoints {
		n := svc*manyEndpoints + e
		p.All = append(p.All, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)}), 8080))
	}
	return p
}

func bigTable(b *testing.B) *table {
	ns := namespaceFor(b)
	var t *table
	if err := ns.Do(func() (err error) {
		t, err = newTable(nft.IPv4, Options{Table: DefaultTable, Log: slog.Default()})
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = t.kernel.Delete(); _ = t.close() })
	return t
}

func (t *table) putBench(b *testing.B, p Port) {
	b.Helper()
	t.want.Put(p.Namespace+"/"+p.Service, ServiceRules(t.family, t.config, []Port{p}))
}

func BenchmarkFirstSync(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		t := bigTable(b)
		b.StartTimer()
		for s := range manyServices {
			t.putBench(b, bigPort(s, manyEndpoints))
		}
		if err := t.apply(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOneChange(b *testing.B) {
	t := bigTable(b)
	for s := range manyServices {
		t.putBench(b, bigPort(s, manyEndpoints))
	}
	if err := t.apply(); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		t.putBench(b, bigPort(n%manyServices, manyEndpoints-n%2-1))
		if err := t.apply(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestart(b *testing.B) {
	t := bigTable(b)
	for s := range manyServices {
		t.putBench(b, bigPort(s, manyEndpoints))
	}
	if err := t.apply(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		t.have = nil
		if err := t.apply(); err != nil {
			b.Fatal(err)
		}
	}
}

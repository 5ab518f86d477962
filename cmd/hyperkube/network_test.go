package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hyperkube/network/rules"
)

func TestHostPorts(t *testing.T) {
	got, err := hostPorts("reserved-ports", []string{"6443", " 53/udp", "", "2379/TCP"})
	if want := []rules.HostPort{{Protocol: "TCP", Port: 6443}, {Protocol: "UDP", Port: 53}, {Protocol: "TCP", Port: 2379}}; err != nil || !cmp.Equal(want, got) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"0", "65536", "-1", "x", "1/", "1/icmp", "/TCP", "1/TCP/2"} {
		if got, err := hostPorts("reserved-ports", []string{bad}); err == nil {
			t.Errorf("%q accepted as %v", bad, got)
		}
	}
}

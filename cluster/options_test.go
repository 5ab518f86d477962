package cluster

import (
	"strings"
	"testing"
)

// A cluster that was made with flags starts again without them, and is not
// started with others.
func TestRecall(t *testing.T) {
	first := Default()
	first.DataDir, first.NodeIP, first.PodCIDR, first.APIPort, first.Ephemeral = t.TempDir(), "192.0.2.10", "10.200.0.0/16", 7443, true
	if err := first.claim(); err != nil {
		t.Fatal(err)
	}
	again := Default()
	again.DataDir, again.NodeIP = first.DataDir, "192.0.2.10"
	if err := again.Recall(func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if again.PodCIDR != first.PodCIDR || again.APIPort != 7443 || !again.Ephemeral {
		t.Errorf("recalled %+v", again)
	}
	if err := again.claim(); err != nil {
		t.Errorf("starting again without flags: %v", err)
	}
	other := Default()
	other.DataDir, other.NodeIP, other.PodCIDR = first.DataDir, "192.0.2.10", "10.201.0.0/16"
	if err := other.Recall(func(flag string) bool { return flag == "pod-cidr" }); err != nil {
		t.Fatal(err)
	}
	if err := other.claim(); err == nil || !strings.Contains(err.Error(), "--pod-cidr=10.200.0.0/16") {
		t.Errorf("another network was accepted: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"networks overlap":     {func(o *Options) { o.PodCIDR = "10.96.0.0/16" }, "overlap"},
		"not a network":        {func(o *Options) { o.PodCIDR = "bogus" }, "--pod-cidr"},
		"pod network small":    {func(o *Options) { o.PodCIDR = "10.244.0.0/26" }, "/24"},
		"no room for DNS":      {func(o *Options) { o.ServiceCIDR = "10.96.0.0/29" }, "tenth"},
		"relative data dir":    {func(o *Options) { o.DataDir = "here" }, "absolute"},
		"another address kind": {func(o *Options) { o.PodCIDR = "fd00::/48" }, "IPv4"},
	} {
		o := Default()
		c.change(&o)
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := Default().validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

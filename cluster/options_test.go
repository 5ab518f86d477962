package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// begin claims a data directory and lets go of it.
func begin(o Options) error {
	l, _, err := claim(o, slog.New(slog.DiscardHandler), func(string, time.Duration) {})
	if err != nil {
		return err
	}
	return l.Close()
}

// A cluster that was made with flags starts again without them, and is not
// started with others.
func TestRecall(t *testing.T) {
	first := Default()
	first.NodeName = "n1"
	first.DataDir, first.NodeIP, first.PodCIDR, first.APIPort, first.Ephemeral = t.TempDir(), "192.0.2.10", "10.200.0.0/16", 7443, true
	first.EtcdServers = []string{"https://192.0.2.20:2379"}
	if err := begin(first); err != nil {
		t.Fatal(err)
	}
	again := Default()
	again.NodeName = "n2"
	again.DataDir, again.NodeIP = first.DataDir, "192.0.2.10"
	if err := again.Recall(func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if again.PodCIDR != first.PodCIDR || again.APIPort != 7443 || !again.Ephemeral || len(again.EtcdServers) != 1 {
		t.Errorf("recalled %+v", again)
	}
	if err := begin(again); err != nil {
		t.Errorf("starting again without flags: %v", err)
	}
	other := Default()
	other.DataDir, other.NodeIP, other.PodCIDR = first.DataDir, "192.0.2.10", "10.201.0.0/16"
	if err := other.Recall(func(flag string) bool { return flag == "pod-cidr" }); err != nil {
		t.Fatal(err)
	}
	if err := other.check(); err == nil || !strings.Contains(err.Error(), "--pod-cidr=10.200.0.0/16") {
		t.Errorf("another network was accepted: %v", err)
	}
}

// Nobody guesses with what a cluster was made whose cluster.json is lost.
func TestRecallOfLostIdentity(t *testing.T) {
	all := []string{"node-name", "pod-cidr", "service-cidr", "cluster-domain", "bridge"}
	for name, c := range map[string]struct {
		has   []string
		given []string
		want  string // in the refusal; empty: none
	}{
		"nothing was made":     {has: []string{markerName}},
		"keys were made":       {has: []string{markerName, "pki/ca.crt"}, want: "--node-name, --pod-cidr, --service-cidr, --cluster-domain, --bridge"},
		"data was written":     {has: []string{markerName, "etcd/member/snap/db"}, want: "cluster.json"},
		"some flags are given": {has: []string{"pki/ca.crt"}, given: all[:4], want: "say --bridge"},
		"all flags are given":  {has: []string{"pki/ca.crt", "etcd/member/snap/db"}, given: all},
		"there is no folder":   {},
	} {
		t.Run(name, func(t *testing.T) {
			o := Default()
			o.DataDir = filepath.Join(t.TempDir(), "d")
			for _, f := range c.has {
				path := filepath.Join(o.DataDir, f)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			err := o.Recall(func(flag string) bool { return slices.Contains(c.given, flag) })
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
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
		"comma in data dir":    {func(o *Options) { o.DataDir = "/tmp/a,b" }, "','"},
		"colon in data dir":    {func(o *Options) { o.DataDir = "/tmp/a:b" }, "':'"},
		"line in data dir":     {func(o *Options) { o.DataDir = "/tmp/a\nb" }, "letters, digits"},
		"quote in data dir":    {func(o *Options) { o.DataDir = "/tmp/a\\b" }, "letters, digits"},
		"long data dir":        {func(o *Options) { o.DataDir = "/tmp/" + strings.Repeat("x", 90) }, "95 bytes: 71 are the most"},
		"root as data dir":     {func(o *Options) { o.DataDir = "/tmp/.." }, "root directory"},
		"node name":            {func(o *Options) { o.NodeName = "my_node" }, "cannot be the name of a node"},
		"no node name":         {func(o *Options) { o.NodeName = "" }, "--node-name"},
		"cluster domain":       {func(o *Options) { o.ClusterDomain = "Cluster Local" }, "--cluster-domain"},
		"bridge":               {func(o *Options) { o.Bridge = "abcdefghijklmnop" }, "at most 15"},
		"node address":         {func(o *Options) { o.NodeIP = "here" }, "--node-ip"},
		"bind address":         {func(o *Options) { o.BindAddress = "here" }, "--bind-address"},
		"node ports":           {func(o *Options) { o.NodePorts = "32767-30000" }, "--node-ports"},
		"port":                 {func(o *Options) { o.APIPort = 70000 }, "--port 70000"},
		"same ports":           {func(o *Options) { o.ProxyPort = o.KubeletPort }, "--kubelet-port and --proxy-port are both 10250"},
		"another address kind": {func(o *Options) { o.PodCIDR = "fd00::/48" }, "IPv4"},
	} {
		o := Default()
		o.NodeName = "n1"
		c.change(&o)
		if err := o.Settle(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	o := Default()
	o.NodeName = " Node-1.Example "
	if err := o.Settle(); err != nil || o.NodeName != "node-1.example" {
		t.Errorf("the defaults: %v, node name %q", err, o.NodeName)
	}
}

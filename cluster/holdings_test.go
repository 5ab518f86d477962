package cluster

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/internal/pki"
	"hyperkube/store/seal"
)

// started is a control of a data directory of which the keys are made, as `up` does it.
func started(t *testing.T, change func(*Options)) (*control, error) {
	t.Helper()
	o := Default()
	o.NodeName, o.NodeIP = "n1", "192.0.2.10"
	change(&o)
	l, c, err := claim(o, slog.New(slog.DiscardHandler), func(string, time.Duration) {})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return c, c.makeKeys()
}

// served makes what a cluster that has served leaves.
func served(t *testing.T, dir string) *control {
	t.Helper()
	c, err := started(t, func(o *Options) { o.DataDir = dir })
	if err != nil {
		t.Fatal(err)
	}
	if err := c.noteData(); err != nil {
		t.Fatal(err)
	}
	member(t, c.p)
	return c
}

func member(t *testing.T, p Paths) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(p.Etcd, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsMadeOverWhatWas: what a cluster that ran has lost is told, with the file, the
// way back and the flag that gives it up; the flag works, and needs not be said twice.
func TestNothingIsMadeOverWhatWas(t *testing.T) {
	for name, c := range map[string]struct {
		lose []string
		says []string
		flag func(*Options)
	}{
		"encryption key":      {[]string{"pki/encryption.yaml"}, []string{"encryption.yaml", "backup", "--new-encryption-key", "secrets"}, func(o *Options) { o.NewEncryptionKey = true }},
		"etcd directory":      {[]string{"etcd"}, []string{"etcd", "backup", "--start-empty"}, func(o *Options) { o.StartEmpty = true }},
		"member":              {[]string{"etcd/member"}, []string{"--start-empty"}, func(o *Options) { o.StartEmpty = true }},
		"CA":                  {[]string{"pki/ca.crt", "pki/ca.key"}, []string{"ca.crt", "backup", "--new-ca"}, func(o *Options) { o.NewCA = true }},
		"front proxy's CA":    {[]string{"pki/front-proxy-ca.key"}, []string{"front-proxy-ca", "--new-ca"}, func(o *Options) { o.NewCA = true }},
		"service-account key": {[]string{"pki/sa.key"}, []string{"sa.key", "backup", "--new-service-account-key"}, func(o *Options) { o.NewServiceAccountKey = true }},
		"all keys":            {[]string{"pki"}, []string{"--new-ca", "--new-service-account-key"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := served(t, dir)
			for _, f := range c.lose {
				if err := os.RemoveAll(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := started(t, func(o *Options) { o.DataDir = dir })
			if err == nil {
				t.Fatal("it was made anew without a word")
			}
			for _, w := range c.says {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			for _, f := range c.lose {
				if present(filepath.Join(dir, f)) && f != "pki" && f != "etcd" {
					t.Errorf("%s was made in spite of the refusal", f)
				}
			}
			if c.flag == nil {
				return
			}
			again, err := started(t, func(o *Options) { o.DataDir = dir; c.flag(o) })
			if err != nil {
				t.Fatalf("given up: %v", err)
			}
			if again.id != before.id {
				t.Errorf("the cluster's identity became %s, was %s", again.id, before.id)
			}
			member(t, again.p)
			if _, err := started(t, func(o *Options) { o.DataDir = dir }); err != nil {
				t.Errorf("started again without the flag: %v", err)
			}
		})
	}
}

// TestNewCA: after the advice for an expired CA was taken, everything trusts the new one.
func TestNewCA(t *testing.T) {
	dir := t.TempDir()
	c := served(t, dir)
	long := time.Now().Add(-11 * 365 * 24 * time.Hour)
	old, err := pki.EnsureCA(filepath.Join(dir, "old.crt"), filepath.Join(dir, "old.key"), "kubernetes", pki.Making{Now: long})
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"old.crt": "pki/ca.crt", "old.key": "pki/ca.key"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = started(t, func(o *Options) { o.DataDir = dir })
	if !errors.Is(err, pki.ErrExpired) || !strings.Contains(err.Error(), "--new-ca") {
		t.Fatalf("an expired CA: %v", err)
	}
	c, err = started(t, func(o *Options) { o.DataDir, o.NewCA = dir, true })
	if err != nil {
		t.Fatal(err)
	}
	if c.pki.CA.Cert.Equal(old.Cert) {
		t.Fatal("still the old CA")
	}
	if _, err := c.pki.APIServer.Cert.Verify(x509.VerifyOptions{Roots: c.pki.CA.Pool(), DNSName: "kubernetes.default.svc"}); err != nil {
		t.Error(err)
	}
	conf, err := os.ReadFile(c.p.Kubeconfig)
	if err != nil || !strings.Contains(string(conf), "certificate-authority-data") {
		t.Errorf("%v %s", err, conf)
	}
}

// TestFirstStartMakesAll: a start that was killed at any point is followed by one that works.
func TestFirstStartMakesAll(t *testing.T) {
	dir := t.TempDir()
	o := Default()
	o.DataDir, o.NodeName, o.NodeIP = dir, "n1", "192.0.2.10"
	l, _, err := claim(o, slog.New(slog.DiscardHandler), func(string, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // killed before the keys
	if _, err := started(t, func(o *Options) { o.DataDir = dir }); err != nil {
		t.Errorf("killed before the keys: %v", err)
	}
	if _, err := started(t, func(o *Options) { o.DataDir = dir }); err != nil {
		t.Errorf("killed before etcd: %v", err)
	}
}

// older makes a data directory as versions without marker and notes left it.
func older(t *testing.T, external bool) (dir, serial string) {
	t.Helper()
	dir = t.TempDir()
	f, err := pki.Ensure(pki.Options{Layout: pki.NewLayout(dir), Server: "https://192.0.2.10:6443", ServiceIP: net.IPv4(10, 96, 0, 1), Now: time.Now(),
		Nodes: []pki.Node{{Name: "n1"}}})
	if err != nil {
		t.Fatal(err)
	}
	p := PathsOf(dir)
	if _, err := seal.Create(p.EncryptionConfig, "secrets"); err != nil {
		t.Fatal(err)
	}
	d := Default()
	b, err := json.Marshal(map[string]any{"created": time.Now(), "nodeName": "n1", "nodeIP": "192.0.2.10", "apiPort": d.APIPort, "kubeletPort": d.KubeletPort,
		"proxyPort": d.ProxyPort, "metricsPort": d.MetricsPort, "podCIDR": d.PodCIDR, "serviceCIDR": d.ServiceCIDR, "clusterDomain": d.ClusterDomain,
		"bridge": d.Bridge, "nodePorts": d.NodePorts})
	if err := errors.Join(err, os.WriteFile(p.Identity, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	serial = f.CA.Cert.SerialNumber.String()
	if !external {
		member(t, p)
		if err := os.WriteFile(filepath.Join(p.Etcd, "cluster"), []byte(serial+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, serial
}

// TestOlderDirectories: data directories of versions before keep their identity, which was
// the serial number of the CA, and are guarded like new ones.
func TestOlderDirectories(t *testing.T) {
	dir, serial := older(t, false)
	c, err := started(t, func(o *Options) { o.DataDir = dir })
	if err != nil || c.id != serial {
		t.Fatalf("identity %s, want %s: %v", c.id, serial, err)
	}
	for _, external := range []bool{false, true} {
		dir, serial = older(t, external)
		change := func(o *Options) {
			o.DataDir = dir
			if external {
				o.EtcdServers = []string{"https://192.0.2.20:2379"}
			}
		}
		if err := os.Remove(PathsOf(dir).EncryptionConfig); err != nil {
			t.Fatal(err)
		}
		if _, err := started(t, change); err == nil || !strings.Contains(err.Error(), "--new-encryption-key") {
			t.Errorf("external %t: a lost key of an older directory: %v", external, err)
		}
	}
	// The CA is gone, and etcd's own note is what is left of the identity.
	dir, serial = older(t, false)
	remove(t, filepath.Join(dir, "pki", "ca.crt"))
	remove(t, filepath.Join(dir, "pki", "ca.key"))
	if _, err := started(t, func(o *Options) { o.DataDir = dir }); err == nil || !strings.Contains(err.Error(), "--new-ca") {
		t.Errorf("a lost CA of an older directory: %v", err)
	}
	if c, err = started(t, func(o *Options) { o.DataDir, o.NewCA = dir, true }); err != nil || c.id != serial {
		t.Errorf("identity %v, want %s: %v", c, serial, err)
	}
	dir, _ = older(t, false)
	remove(t, filepath.Join(dir, "etcd"))
	if _, err := started(t, func(o *Options) { o.DataDir = dir }); err == nil || !strings.Contains(err.Error(), "--start-empty") {
		t.Errorf("lost data of an older directory: %v", err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// TestEphemeralStartsEmpty: what was kept in memory is expected to be gone.
func TestEphemeralStartsEmpty(t *testing.T) {
	dir := t.TempDir()
	eph := func(o *Options) { o.DataDir, o.Ephemeral = dir, true }
	c, err := started(t, eph)
	if err == nil {
		err = c.noteData()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := started(t, eph); err != nil {
		t.Error(err)
	}
}

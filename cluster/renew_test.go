package cluster

import (
	"crypto/x509"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"hyperkube/internal/pki"
)

// TestRenewal: a cluster that runs for longer than its certificates live has good ones, on
// both ends of each connection; what others know is never made anew by it.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	c := served(t, dir)
	c.registries = newRegistries()
	c.o.NewCA, c.o.NewServiceAccountKey = true, true
	r, err := c.newRenewal()
	must(t, err)
	l := c.pki.Layout
	must(t, os.Remove(l.Cert(pki.NameFrontProxyClient)))
	must(t, os.Chmod(c.p.Kubeconfig, 0o640))
	// A person's own, of another CA, and one that was cut off when it was renewed: the key is new.
	other, err := pki.NewCA("other", time.Now())
	must(t, err)
	own, err := other.Issue(pki.Leaf{CommonName: "own", Server: true}, time.Now())
	must(t, err)
	must(t, os.WriteFile(l.Cert(pki.NameEtcdPeer), own.CertPEM, 0o644))
	must(t, os.WriteFile(l.Key(pki.NameAPIServer), own.KeyPEM, 0o600))
	before, err := os.ReadFile(c.p.Kubeconfig)
	must(t, err)

	now := time.Now()
	must(t, r.look(now))
	if after, err := os.ReadFile(c.p.Kubeconfig); err != nil || string(after) != string(before) {
		t.Errorf("a good kubeconfig was written anew: %v", err)
	}
	if info, err := os.Stat(c.p.Kubeconfig); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode that a person gave was changed: %v %v", info, err)
	}
	if present(l.Cert(pki.NameFrontProxyClient)) {
		t.Error("a file that a person took away was made")
	}

	later := now.Add(11 * 30 * 24 * time.Hour)
	must(t, r.look(later))
	good := x509.VerifyOptions{Roots: c.pki.CA.Pool(), CurrentTime: now.Add(pki.LeafLifetime + 24*time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, name := range []string{pki.NameAPIServer, pki.NameKubeletClient, pki.KubeletName(c.o.NodeName)} {
		pair, err := pki.LoadPair(l.Cert(name), l.Key(name))
		must(t, err)
		if _, err := pair.Cert.Verify(good); err != nil {
			t.Errorf("%s until %s: %v", name, pair.Cert.NotAfter, err)
		}
	}
	if have, err := os.ReadFile(l.Cert(pki.NameEtcdPeer)); err != nil || string(have) != string(own.CertPEM) {
		t.Errorf("a person's own certificate was replaced: %v", err)
	}
	conf, err := clientcmd.LoadFromFile(c.p.Kubeconfig)
	must(t, err)
	for name, user := range conf.AuthInfos {
		cert, err := pki.ParseCert(user.ClientCertificateData)
		must(t, err)
		if _, err := cert.Verify(good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	for _, lost := range []string{l.Key(pki.NameCA), l.ServiceAccountKey()} {
		aside := lost + ".aside"
		must(t, os.Rename(lost, aside))
		if err := r.look(later); err == nil || present(lost) {
			t.Errorf("%s was made anew: %v", lost, err)
		}
		must(t, os.Rename(aside, lost))
	}
	must(t, r.look(later))
}

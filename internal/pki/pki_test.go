package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"hyperkube/internal/pki"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func options(dir string) pki.Options {
	return pki.Options{
		Layout: pki.NewLayout(dir), Server: "https://127.0.0.1:6443", ServiceIP: net.IPv4(10, 96, 0, 1),
		Nodes: []pki.Node{{Name: "n1", IPs: []net.IP{net.IPv4(10, 0, 0, 5)}}}, Now: now,
	}
}

func ensure(t *testing.T, o pki.Options) *pki.Files {
	t.Helper()
	f, err := pki.Ensure(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEnsureTwiceKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, options(dir))
	if len(first.Issued) == 0 {
		t.Fatal("nothing issued at first")
	}
	before := snapshot(t, dir)
	second := ensure(t, options(dir))
	if len(second.Issued) != 0 {
		t.Fatalf("issued again: %v", second.Issued)
	}
	for name, data := range snapshot(t, dir) {
		if !bytes.Equal(before[name], data) {
			t.Errorf("%s changed", name)
		}
	}
	if second.CA.Cert.SerialNumber.Cmp(first.CA.Cert.SerialNumber) != 0 {
		t.Error("CA changed")
	}
}

func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.Walk(dir, func(p string, i os.FileInfo, err error) error {
		if err != nil || i.IsDir() {
			return err
		}
		want := os.FileMode(0o600)
		if strings.HasSuffix(p, ".crt") || strings.HasSuffix(p, ".pub") {
			want = 0o644
		}
		if i.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", p, i.Mode().Perm(), want)
		}
		out[p], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRenewal(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pki.Options)
		issued string
	}{
		"before the last third": {func(o *pki.Options) { o.Now = now.Add(240 * 24 * time.Hour) }, ""},
		"in the last third":     {func(o *pki.Options) { o.Now = now.Add(250 * 24 * time.Hour) }, "apiserver.crt"},
		"expired":               {func(o *pki.Options) { o.Now = now.Add(400 * 24 * time.Hour) }, "kube-proxy.conf"},
		"new address":           {func(o *pki.Options) { o.IPs = []net.IP{net.IPv4(192, 0, 2, 1)} }, "apiserver.crt"},
		"new name":              {func(o *pki.Options) { o.Names = []string{"api.example"} }, "apiserver.crt"},
		"other server":          {func(o *pki.Options) { o.Server = "https://192.0.2.1:6443" }, "admin.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ensure(t, options(dir))
			o := options(dir)
			c.change(&o)
			f := ensure(t, o)
			got := strings.Join(f.Issued, " ")
			if c.issued == "" && got != "" || !strings.Contains(got, c.issued) {
				t.Errorf("issued %q, want %q in it", got, c.issued)
			}
		})
	}
}

func TestBadFilesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(l pki.Layout)
		want  []string
	}{
		"CA is garbage":   {func(l pki.Layout) { os.WriteFile(l.Cert("ca"), []byte("x"), 0o600) }, []string{"CA kubernetes", "ca.crt"}},
		"CA key missing":  {func(l pki.Layout) { os.Remove(l.Key("ca")) }, []string{"CA kubernetes", "ca.key"}},
		"CA key of other": {func(l pki.Layout) { copyFile(l.Key("etcd/ca"), l.Key("ca")) }, []string{"belong together"}},
		"CA is a leaf": {func(l pki.Layout) {
			copyFile(l.Cert("apiserver"), l.Cert("ca"))
			copyFile(l.Key("apiserver"), l.Key("ca"))
		}, []string{"not a CA"}},
		"sa.key garbage": {func(l pki.Layout) { os.WriteFile(l.ServiceAccountKey(), []byte("x"), 0o600) }, []string{"service-account key", "sa.key"}},
		"sa.key missing": {func(l pki.Layout) { os.Remove(l.ServiceAccountKey()) }, []string{"service-account key", "sa.key"}},
		"conf garbage":   {func(l pki.Layout) { os.WriteFile(l.Kubeconfig("admin.conf"), []byte("\x00{"), 0o600) }, []string{"admin.conf", "remove it"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ensure(t, options(dir))
			c.spoil(pki.NewLayout(dir))
			_, err := pki.Ensure(options(dir))
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
		})
	}
}

// TestKeysAreNeverMadeOverOthers: a key that others know is made anew only when told to,
// whatever happened to it; then everything that hangs on it follows, and what is good stays.
func TestKeysAreNeverMadeOverOthers(t *testing.T) {
	late, early := now.Add(11*365*24*time.Hour), now.Add(-365*24*time.Hour)
	remove := func(files ...string) func(pki.Layout) {
		return func(l pki.Layout) {
			for _, f := range files {
				os.Remove(filepath.Join(l.Dir, f))
			}
		}
	}
	for name, c := range map[string]struct {
		spoil    func(pki.Layout)
		at       time.Time
		is       error  // of the refusal
		sa       bool   // it is the service-account key
		reissued string // by its loss
	}{
		"CA gone":             {remove("ca.crt", "ca.key"), now, os.ErrNotExist, false, "apiserver.crt"},
		"CA certificate gone": {remove("ca.crt"), now, os.ErrNotExist, false, "apiserver.crt"},
		"CA expired":          {remove(), late, pki.ErrExpired, false, "apiserver.crt"},
		"clock set back":      {remove(), early, pki.ErrNotYet, false, "apiserver.crt"},
		"front proxy's gone":  {remove("front-proxy-ca.crt", "front-proxy-ca.key"), now, os.ErrNotExist, false, "front-proxy-client.crt"},
		"etcd's gone":         {remove("etcd/ca.crt", "etcd/ca.key"), now, os.ErrNotExist, false, "etcd/server.crt"},
		"signing key gone":    {remove("sa.key", "sa.pub"), now, os.ErrNotExist, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := ensure(t, options(dir))
			c.spoil(first.Layout)
			o := options(dir)
			o.Known, o.Now = true, c.at
			o.NewServiceAccount = !c.sa
			o.NewCA = c.sa
			_, err := pki.Ensure(o)
			var lost *pki.LostError
			if !errors.As(err, &lost) || !errors.Is(err, c.is) {
				t.Fatalf("refused with %v", err)
			}
			if _, err := os.Stat(lost.File); c.at == now && err == nil {
				t.Error("it was made in spite of the refusal")
			}
			o.NewServiceAccount, o.NewCA = true, true
			again := ensure(t, o)
			if got := strings.Join(again.Issued, " "); c.reissued != "" && !strings.Contains(got, c.reissued) || c.sa && got != "" {
				t.Errorf("issued %q", got)
			}
			if !c.sa && again.ServiceAccount.Public().(*ecdsa.PublicKey).Equal(first.ServiceAccount.Public()) != true {
				t.Error("the good signing key was replaced")
			}
			if _, err := again.APIServer.Cert.Verify(x509.VerifyOptions{Roots: again.CA.Pool(), DNSName: "localhost", CurrentTime: c.at}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKilledWhileMaking: a key without its certificate is what a killed first start leaves.
func TestKilledWhileMaking(t *testing.T) {
	dir := t.TempDir()
	f := ensure(t, options(dir))
	os.Remove(f.Layout.Cert("ca"))
	ensure(t, options(dir))
}

func copyFile(from, to string) {
	b, _ := os.ReadFile(from)
	os.WriteFile(to, b, 0o600)
}

func TestForeignLeafIsReplaced(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	ensure(t, options(a))
	ensure(t, options(b))
	copyFile(pki.NewLayout(b).Cert("apiserver"), pki.NewLayout(a).Cert("apiserver"))
	copyFile(pki.NewLayout(b).Key("apiserver"), pki.NewLayout(a).Key("apiserver"))
	f := ensure(t, options(a))
	if len(f.Issued) != 1 {
		t.Fatalf("issued %v", f.Issued)
	}
	if _, err := f.APIServer.Cert.Verify(x509.VerifyOptions{Roots: f.CA.Pool(), DNSName: "kubernetes.default.svc", CurrentTime: now}); err != nil {
		t.Fatal(err)
	}
}

func TestKubeconfigKeepsTheUsersContexts(t *testing.T) {
	dir := t.TempDir()
	f := ensure(t, options(dir))
	file := f.Layout.Kubeconfig(pki.ConfAdmin)
	c, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c.Contexts["mine"] = c.Contexts["kubernetes-admin@hyperkube"].DeepCopy()
	c.CurrentContext = "mine"
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Server = "https://other:6443"
	ensure(t, o)
	c, _ = clientcmd.LoadFromFile(file)
	if c.CurrentContext != "mine" || c.Clusters["hyperkube"].Server != "https://other:6443" {
		t.Errorf("current context %q, server %q", c.CurrentContext, c.Clusters["hyperkube"].Server)
	}
}

func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		if _, err := pki.Ensure(options(b.TempDir())); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		pki.ParseCert(data)
		pki.ParseKey(data)
		pki.ParsePublicKeys(data)
	})
}

// What the API server shows to kubelets gives no rights elsewhere, also in a
// cluster whose files are from a time when it did; nothing but the administrator's
// kubeconfig is of group system:masters.
func TestOnlyTheAdministratorIsAMaster(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	f := ensure(t, o)
	cert, key := o.Layout.Cert(pki.NameKubeletClient), o.Layout.Key(pki.NameKubeletClient)
	old, err := f.CA.Issue(pki.Leaf{CommonName: pki.KubeletClientUser, Organization: []string{"system:masters"}, Client: true}, now)
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{cert: old.CertPEM, key: old.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f = ensure(t, o)
	if want := []string{cert}; !slices.Equal(f.Issued, want) {
		t.Errorf("issued %v, want %v", f.Issued, want)
	}
	if s := f.KubeletClient.Cert.Subject; s.CommonName != "kube-apiserver-kubelet-client" || len(s.Organization) > 0 {
		t.Errorf("the kubelet client is %s", s)
	}
	var masters []string
	for name, data := range snapshot(t, dir) {
		if c, err := clientcmd.Load(data); err == nil && len(c.AuthInfos) > 0 {
			for _, a := range c.AuthInfos {
				data = a.ClientCertificateData
			}
		}
		certs, err := pki.ParseCerts(data)
		if err == nil && len(certs) > 0 && slices.Contains(certs[0].Subject.Organization, "system:masters") {
			masters = append(masters, filepath.Base(name))
		}
	}
	if want := []string{pki.ConfAdmin}; !slices.Equal(masters, want) {
		t.Errorf("of system:masters: %v, want %v", masters, want)
	}
}

package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ring(t testing.TB, names ...string) *Keyring {
	t.Helper()
	var all []Key
	for _, n := range names {
		provider, name, _ := strings.Cut(n, "/")
		secret := bytes.Repeat([]byte{n[len(n)-1]}, 32)
		k, err := NewKey(provider, name, secret)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	r, err := NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRotation(t *testing.T) {
	plain, path := []byte("hello"), []byte("/registry/secrets/a/b")
	for _, provider := range []string{AESGCM, Secretbox} {
		old := ring(t, provider+"/k1")
		both := ring(t, provider+"/k2", provider+"/k1")
		sealed, err := old.Seal(plain, path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(sealed, []byte("k8s:enc:"+provider+":v1:k1:")) {
			t.Fatalf("%q", sealed)
		}
		got, err := both.Open(sealed, path)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatal(got, err)
		}
		if !both.Stale(sealed) || old.Stale(sealed) || !old.Stale(plain) {
			t.Error("stale")
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := both.Open(sealed, path); !errors.Is(err, ErrSealed) {
			t.Error("tampered value opened", err)
		}
		if got, err := both.Open(plain, path); err != nil || !bytes.Equal(got, plain) {
			t.Error("plain value", err)
		}
	}
	sealed, err := ring(t, AESGCM+"/k1").Seal(plain, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring(t, AESGCM+"/k1").Open(sealed, []byte("/registry/secrets/a/other")); !errors.Is(err, ErrSealed) {
		t.Error("moved value opened")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	c, err := Create(path, "secrets", "configmaps")
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("file was written again")
	}
	if c.For("", "secrets") == nil || c.For("apps", "secrets") != nil || c.For("", "pods") != nil {
		t.Error("rules")
	}
	var none *Config
	if none.For("", "secrets") != nil {
		t.Error("no configuration has no keys")
	}
}

func TestStandardForm(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	good := fmt.Sprintf(`
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, widgets.example.com]
  providers:
  - secretbox: {keys: [{name: new, secret: %s}]}
  - aesgcm: {keys: [{name: old, secret: %s}]}
  - identity: {}
- resources: ["*.apps", "*.*"]
  providers: [{identity: {}}]
`, secret, secret)
	c, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := c.For("example.com", "widgets").Seal([]byte("x"), nil)
	if err != nil || !bytes.HasPrefix(sealed, []byte("k8s:enc:secretbox:v1:new:")) {
		t.Fatalf("%q %v", sealed, err)
	}
	if plain, err := c.For("apps", "deployments").Seal([]byte("x"), nil); err != nil || string(plain) != "x" {
		t.Fatal(plain, err)
	}
	for name, bad := range map[string]string{
		"kind":   strings.Replace(good, "EncryptionConfiguration", "Other", 1),
		"field":  strings.Replace(good, "providers: [{identity", "provider: [{identity", 1),
		"secret": strings.Replace(good, secret, "%%%", 1),
		"short":  strings.Replace(good, secret, "YQ==", 1),
		"none":   strings.Replace(good, "[{identity: {}}]", "[{}]", 1),
		"size":   good + strings.Repeat("#", sizeMax),
	} {
		if _, err := Parse([]byte(bad)); err == nil || strings.Contains(err.Error(), secret) {
			t.Error(name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, AESGCM+"/k1", Secretbox+"/k2")
	sealed, err := r.Seal([]byte("hello"), []byte("/p"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte("k8s:enc:secretbox:v1:k2:short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := r.Open(data, []byte("/p"))
		if err == nil && bytes.HasPrefix(data, []byte(common)) && !bytes.Equal(plain, []byte("hello")) {
			t.Fatalf("forged: %q", data)
		}
	})
}

func TestCreateNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("load without a file:", err)
	}
	made, err := Create(path, "secrets")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	if _, err := Create(path, "secrets"); !errors.Is(err, fs.ErrExist) {
		t.Fatal("create over a file:", err)
	}
	stored, err := made.For("", "secrets").Seal([]byte("x"), []byte("/p"))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(path)
	if err != nil || !loaded.Opens(stored, []byte("/p")) {
		t.Fatal("what was made does not open what it sealed", err)
	}
	other, err := Create(path+"2", "secrets")
	if err != nil {
		t.Fatal(err)
	}
	again, err := other.For("", "secrets").Seal([]byte("x"), []byte("/p"))
	if err != nil {
		t.Fatal(err)
	}
	_, a, _ := KeyOf(stored)
	_, b, _ := KeyOf(again)
	if a == "" || a == b || other.Opens(stored, []byte("/p")) {
		t.Errorf("keys of two files are not told apart: %q %q", a, b)
	}
}

func TestKeyOf(t *testing.T) {
	for value, want := range map[string][3]string{
		"plain":                           {"", "", "false"},
		"k8s:enc:aesgcm:v1:key1:\x00\x01": {"aesgcm", "key1", "true"},
		"k8s:enc:kms:v2:name:\x00":        {"kms", "name", "true"},
		"k8s:enc:":                        {"", "", "true"},
		"k8s:enc:aesgcm:v1:" + strings.Repeat("x", 5000): {"aesgcm", "", "true"},
	} {
		p, k, ok := KeyOf([]byte(value))
		if got := [3]string{p, k, fmt.Sprint(ok)}; got != want {
			t.Errorf("%.30q: %q, want %q", value, got, want)
		}
	}
	var none *Config
	if !none.Opens([]byte("plain"), nil) || none.Opens([]byte("k8s:enc:aesgcm:v1:key1:x"), nil) {
		t.Error("no configuration opens plain values and nothing else")
	}
}

// FuzzParse: a configuration is taken or refused with one line that holds none
// of its secrets, and what is taken seals and opens.
func FuzzParse(f *testing.F) {
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	f.Add("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{aesgcm: {keys: [{name: a, secret: " + secret + "}]}}]}]\n")
	f.Add("a: &a [*a, *a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]byte(text))
		if err != nil {
			return
		}
		ring := c.For("", "secrets")
		if ring == nil {
			return
		}
		stored, err := ring.Seal([]byte("x"), []byte("/p"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := ring.Open(stored, []byte("/p")); err != nil || string(plain) != "x" {
			t.Fatal(string(plain), err)
		}
	})
}

// FuzzKeyOf: names are short, and only sealed values have one.
func FuzzKeyOf(f *testing.F) {
	f.Add([]byte("k8s:enc:aesgcm:v1:key1:x"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		p, k, ok := KeyOf(stored)
		if ok != Sealed(stored) || len(p) > nameMax || len(k) > nameMax || !ok && p+k != "" {
			t.Fatalf("%q %q %v", p, k, ok)
		}
	})
}

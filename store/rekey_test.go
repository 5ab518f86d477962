package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hyperkube/store/backend"
	"hyperkube/store/seal"
)

// keysNamed are a configuration whose keys for secrets have these names, the first of
// them writes; "plain" is the identity provider.
func keysNamed(t *testing.T, names ...string) *seal.Config {
	t.Helper()
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n"
	for _, n := range names {
		if n == "plain" {
			text += "  - identity: {}\n"
			continue
		}
		secret := base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%032s", n)))
		text += fmt.Sprintf("  - aesgcm: {keys: [{name: %s, secret: %q}]}\n", n, secret)
	}
	c, err := seal.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRekey rotates a key under a store that runs, as one does in Kubernetes. Each step is
// refused while something would be lost by it, and then all is as it was.
func TestRekey(t *testing.T) {
	b := backend.NewEmbedded(startEtcd(t), true, true)
	s := openStore(t, Options{backend: b, Keys: keysNamed(t, "old", "plain")}, secretResource(), podResource())
	secrets, _ := s.Collection("", "secrets")
	n := 0
	sealedWith := func(key string) {
		t.Helper()
		n++
		e, err := secrets.Create(t.Context(), secret(fmt.Sprint("s", n)))
		if err != nil {
			t.Fatal(err)
		}
		path := "/registry/secrets/" + e.Key.Namespace + "/" + e.Key.Name
		p, err := b.Range(t.Context(), backend.Range{Start: path, End: path + "\x00"})
		if err != nil || len(p.KVs) != 1 {
			t.Fatal(p, err)
		}
		if _, got, _ := seal.KeyOf(p.KVs[0].Value); got != key {
			t.Fatalf("%s is sealed with %q, want %q", path, got, key)
		}
	}
	step := func(refused string, names ...string) {
		t.Helper()
		err := s.Rekey(t.Context(), keysNamed(t, names...))
		if refused == "" && err != nil || refused != "" && (!errors.Is(err, seal.ErrSealed) || !strings.Contains(err.Error(), refused)) {
			t.Fatalf("%v: %v", names, err)
		}
	}
	sealedWith("old")
	step("old", "new", "plain")
	sealedWith("old")
	step("", "old", "new", "plain")
	sealedWith("old")
	step("", "new", "old", "plain")
	sealedWith("new")
	step("3 objects", "new", "plain") // those written with the old one
	sealedWith("new")
	step("key aesgcm/new", "plain")
	if err := s.Rekey(t.Context(), nil); err == nil {
		t.Error("secrets would be written plain")
	}
	l, err := secrets.List(t.Context(), ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for e := range l.Entries {
		_, err := secrets.Update(t.Context(), e.Key, func(p *Entry) (Object, error) {
			o := p.Object.DeepCopyObject().(Object)
			o.SetLabels(map[string]string{"written": "again"})
			return o, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	step("", "new", "plain")
	sealedWith("new")
	fresh := openStore(t, Options{backend: b, Keys: keysNamed(t, "new")}, secretResource())
	again, _ := fresh.Collection("", "secrets")
	if l, err := again.List(t.Context(), ListOptions{}); err != nil || l.Unreadable != 0 {
		t.Errorf("after a restart %+v, %v", l, err)
	}
	step("", "plain", "new")
	sealedWith("")
}

package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"hyperkube/store/backend"
	"hyperkube/store/seal"
)

func newKeys(t *testing.T) *seal.Config {
	t.Helper()
	c, err := seal.Create(filepath.Join(t.TempDir(), "encryption.yaml"), "secrets")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSealedKeys: whoever lost the file of the keys learns what it held before
// a new one is made.
func TestSealedKeys(t *testing.T) {
	b := backend.NewEmbedded(startEtcd(t), true, true)
	ask := func(keys *seal.Config) []seal.Use {
		t.Helper()
		uses, err := SealedKeys(t.Context(), Options{backend: b, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return uses
	}
	if uses := ask(nil); len(uses) != 0 {
		t.Fatal("an empty etcd needs no key", uses)
	}
	keys := newKeys(t)
	s := openStore(t, Options{backend: b, Keys: keys}, secretResource(), podResource())
	secrets, _ := s.Collection("", "secrets")
	for _, name := range []string{"one", "two"} {
		if _, err := secrets.Create(t.Context(), secret(name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pods(t, s).Create(t.Context(), pod("a", "plain", "")); err != nil {
		t.Fatal(err)
	}
	if uses := ask(keys); len(uses) != 0 {
		t.Error("with the right keys nothing is lost", uses)
	}
	for name, wrong := range map[string]*seal.Config{"no keys": nil, "other keys": newKeys(t)} {
		uses := ask(wrong)
		if len(uses) != 1 || uses[0].Objects != 2 || uses[0].Example != "/registry/secrets/a/one" || uses[0].Provider != seal.AESGCM {
			t.Fatal(name, uses)
		}
		err := error(&seal.LostError{Path: "/x/encryption.yaml", Lost: uses})
		if !errors.Is(err, seal.ErrSealed) || !strings.Contains(err.Error(), uses[0].Key) || !strings.Contains(err.Error(), "2 objects") {
			t.Error(name, err)
		}
	}
	n, err := GiveUpSealed(t.Context(), Options{backend: b})
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if uses := ask(nil); len(uses) != 0 {
		t.Error("given up and still there", uses)
	}
	if _, err := pods(t, s).Get(t.Context(), Key{"a", "plain"}, Freshness{}); err != nil {
		t.Error("a plain object went too", err)
	}
}

package assembly

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"hyperkube/store/seal"
)

// TestKeysFile: only a good file that is not in use is taken over, and one that was refused
// is tried again.
func TestKeysFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	first, err := seal.Create(path, "secrets")
	if err != nil {
		t.Fatal(err)
	}
	var took *seal.Config
	var refuse error
	f := keysFile{path: path, in: first.Sum(), rekey: func(_ context.Context, c *seal.Config) error {
		if refuse == nil {
			took = c
		}
		return refuse
	}}
	look := func(what string, changed bool, want error) {
		t.Helper()
		got, err := f.look(t.Context())
		if got != changed || (want == nil) != (err == nil) || want != nil && want != errAny && !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	look("unchanged", false, nil)
	for what, text := range map[string]string{"empty": "", "half": "apiVersion: apiserver.config.k8s.io/v1\nkind: Encry", "no keys": "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: []}]\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		look(what, false, errAny)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look("gone", false, os.ErrNotExist)
	second, err := seal.Create(path, "secrets")
	if err != nil {
		t.Fatal(err)
	}
	refuse = seal.ErrNoKey
	look("refused", false, seal.ErrNoKey)
	if took != nil {
		t.Error("something was taken over so far")
	}
	refuse = nil
	look("good", true, nil)
	if took == nil || string(took.Sum()) != string(second.Sum()) {
		t.Error("the new keys were not taken over")
	}
	look("in use", false, nil)
}

var errAny = errors.New("any")

package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// file is the standard configuration file.
type file struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Resources  []resource `json:"resources"`
}

type resource struct {
	Resources []string   `json:"resources"`
	Providers []provider `json:"providers"`
}

type provider struct {
	AESGCM    *keys     `json:"aesgcm,omitempty"`
	Secretbox *keys     `json:"secretbox,omitempty"`
	Identity  *struct{} `json:"identity,omitempty"`
}

type keys struct {
	Keys []key `json:"keys"`
}

type key struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
}

const (
	fileVersion = "apiserver.config.k8s.io/v1"
	fileKind    = "EncryptionConfiguration"
)

// Config says which keyring belongs to which resource. A nil Config has none.
type Config struct {
	rules []rule
	sum   []byte
}

type rule struct {
	names []string
	ring  *Keyring
}

// For finds the keyring of a resource, the first rule that names it; nil if none does.
func (c *Config) For(group, name string) *Keyring {
	if c == nil {
		return nil
	}
	full := name
	if group != "" {
		full += "." + group
	}
	for _, r := range c.rules {
		for _, n := range r.names {
			if n == full || n == "*.*" || n == "*."+group {
				return r.ring
			}
		}
	}
	return nil
}

// Sum is the same for two configurations exactly when their files have the same content.
func (c *Config) Sum() []byte {
	if c == nil {
		return nil
	}
	return c.sum
}

// sizeMax bounds the configuration file. A large one has a few kilobytes.
const sizeMax = 1 << 20

// Parse reads a configuration file's content.
func Parse(data []byte) (*Config, error) {
	if len(data) > sizeMax {
		return nil, fmt.Errorf("encryption configuration: it has more than %d bytes", sizeMax)
	}
	var f file
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", err)
	}
	if f.APIVersion != fileVersion || f.Kind != fileKind {
		return nil, fmt.Errorf("encryption configuration: want %s %s, got %s %s", fileVersion, fileKind, f.APIVersion, f.Kind)
	}
	sum := sha256.Sum256(data)
	c := &Config{sum: sum[:]}
	for i, r := range f.Resources {
		ring, err := r.ring()
		if err != nil {
			return nil, fmt.Errorf("encryption configuration: resources[%d]: %w", i, err)
		}
		c.rules = append(c.rules, rule{r.Resources, ring})
	}
	return c, nil
}

func (r resource) ring() (*Keyring, error) {
	var all []Key
	for _, p := range r.Providers {
		kind, list := Identity, []key{{}}
		switch {
		case p.AESGCM != nil:
			kind, list = AESGCM, p.AESGCM.Keys
		case p.Secretbox != nil:
			kind, list = Secretbox, p.Secretbox.Keys
		case p.Identity == nil:
			return nil, errors.New("provider is none of aesgcm, secretbox, identity")
		}
		for _, k := range list {
			secret, err := base64.StdEncoding.DecodeString(k.Secret)
			if err != nil {
				return nil, fmt.Errorf("key %q: secret is not base64", k.Name)
			}
			if kind != Identity && (k.Name == "" || strings.Contains(k.Name, ":")) {
				return nil, fmt.Errorf("bad key name %q", k.Name)
			}
			made, err := NewKey(kind, k.Name, secret)
			if err != nil {
				return nil, err
			}
			all = append(all, made)
		}
	}
	return NewKeyring(all...)
}

// Load reads a configuration file; without one it fails with fs.ErrNotExist.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, sizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", err)
	}
	return Parse(data)
}

// Create writes a configuration file with a new key for the resources, readable
// by the owner only, and fails with fs.ErrExist if there is one. Whoever calls
// it has made sure that nothing is sealed with a key that a lost file held
// (store.SealedKeys). The key's name tells its secret from every other one, so
// that sealed values say which file opens them.
func Create(path string, resources ...string) (*Config, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", err)
	}
	sum := sha256.Sum256(secret)
	data, err := yaml.Marshal(file{
		APIVersion: fileVersion, Kind: fileKind,
		Resources: []resource{{Resources: resources, Providers: []provider{
			{AESGCM: &keys{Keys: []key{{Name: "key-" + hex.EncodeToString(sum[:6]), Secret: base64.StdEncoding.EncodeToString(secret)}}}},
			{Identity: &struct{}{}},
		}}},
	})
	if err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", err)
	}
	c, err := Parse(data) // before the file is there: a bad one would be read at every start
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, data); err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", err)
	}
	return c, nil
}

// writeNew makes the file appear whole and on disk, or not at all.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".encryption-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

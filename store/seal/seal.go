// Package seal encrypts values before they reach etcd and opens them again, in
// the forms that the EncryptionConfiguration of Kubernetes defines.
//
//	stored value = "k8s:enc:<provider>:v1:<key name>:" + nonce + ciphertext
//
// Contract:
//   - The first key of a ring writes, every key reads: keys are rotated by
//     putting a new one first.
//   - With aesgcm the path of the value in etcd is authenticated too: a value
//     moved to another key does not open.
//   - A value without a prefix is plain and is returned as it is.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/nacl/secretbox"
)

// Providers, as named in the configuration file.
const (
	AESGCM    = "aesgcm"
	Secretbox = "secretbox"
	Identity  = "identity"
)

// ErrSealed: the value is sealed with a key the ring lacks, or was tampered with.
var ErrSealed = errors.New("sealed value cannot be opened")

// ErrNoKey is an ErrSealed whose key the ring does not have at all.
var ErrNoKey = fmt.Errorf("%w: its key is not configured", ErrSealed)

const common = "k8s:enc:"

// Key is one named secret of one provider.
type Key struct {
	Provider, Name string
	prefix         []byte
	gcm            cipher.AEAD
	box            *[32]byte
}

// NewKey checks the secret: 16, 24 or 32 bytes for aesgcm, 32 for secretbox.
// The identity provider, which writes plain, has no secret.
func NewKey(provider, name string, secret []byte) (Key, error) {
	k := Key{Provider: provider, Name: name, prefix: []byte(common + provider + ":v1:" + name + ":")}
	switch provider {
	case Identity:
		return Key{Provider: Identity}, nil
	case AESGCM:
		block, err := aes.NewCipher(secret)
		if err != nil {
			return Key{}, fmt.Errorf("key %q: %w", name, err)
		}
		if k.gcm, err = cipher.NewGCM(block); err != nil {
			return Key{}, fmt.Errorf("key %q: %w", name, err)
		}
		return k, nil
	case Secretbox:
		if len(secret) != 32 {
			return Key{}, fmt.Errorf("key %q: secretbox needs 32 bytes, not %d", name, len(secret))
		}
		k.box = (*[32]byte)(bytes.Clone(secret))
		return k, nil
	}
	return Key{}, fmt.Errorf("key %q: unknown provider %q", name, provider)
}

// Keyring is the keys for one resource, the writing one first.
type Keyring struct{ keys []Key }

// NewKeyring makes a ring; it needs at least one key.
func NewKeyring(keys ...Key) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("keyring is empty")
	}
	return &Keyring{keys: keys}, nil
}

// Seal encrypts plain, which will lie under path in etcd.
func (r *Keyring) Seal(plain, path []byte) ([]byte, error) {
	k := &r.keys[0]
	switch {
	case k.gcm != nil:
		n := len(k.prefix)
		out := make([]byte, n+k.gcm.NonceSize(), n+k.gcm.NonceSize()+len(plain)+k.gcm.Overhead())
		copy(out, k.prefix)
		nonce := out[n:]
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
		return k.gcm.Seal(out, nonce, plain, path), nil
	case k.box != nil:
		var nonce [24]byte
		if _, err := rand.Read(nonce[:]); err != nil {
			return nil, err
		}
		out := make([]byte, 0, len(k.prefix)+len(nonce)+len(plain)+secretbox.Overhead)
		out = append(append(out, k.prefix...), nonce[:]...)
		return secretbox.Seal(out, plain, &nonce, k.box), nil
	}
	return plain, nil
}

// Open returns the plain form of a stored value.
func (r *Keyring) Open(stored, path []byte) ([]byte, error) {
	if !bytes.HasPrefix(stored, []byte(common)) {
		return stored, nil
	}
	had := false
	for i := range r.keys {
		k := &r.keys[i]
		if k.prefix == nil || !bytes.HasPrefix(stored, k.prefix) {
			continue
		}
		had = true
		if plain, ok := k.open(stored[len(k.prefix):], path); ok {
			return plain, nil
		}
	}
	provider, name, _ := KeyOf(stored)
	if !had {
		return nil, fmt.Errorf("%w: key %q of provider %q", ErrNoKey, name, provider)
	}
	return nil, fmt.Errorf("%w: it was changed, or key %q of provider %q is another one of that name", ErrSealed, name, provider)
}

// Sealed says whether a stored value is sealed, with whatever key.
func Sealed(stored []byte) bool { return bytes.HasPrefix(stored, []byte(common)) }

// Stale says that a stored value was not written with the ring's first key.
func (r *Keyring) Stale(stored []byte) bool {
	if r.keys[0].prefix == nil {
		return bytes.HasPrefix(stored, []byte(common))
	}
	return !bytes.HasPrefix(stored, r.keys[0].prefix)
}

func (k *Key) open(b, path []byte) ([]byte, bool) {
	if k.gcm != nil {
		n := k.gcm.NonceSize()
		if len(b) < n {
			return nil, false
		}
		plain, err := k.gcm.Open(nil, b[:n], b[n:], path)
		return plain, err == nil
	}
	if len(b) < 24 {
		return nil, false
	}
	return secretbox.Open(nil, b[24:], (*[24]byte)(b[:24]), k.box)
}

package seal

import (
	"bytes"
	"crypto/rand"
)

// NoKeys opens what is plain, and nothing else.
var NoKeys = &Keyring{keys: []Key{{Provider: Identity}}}

// Writes is the key that seals what is written; ok is false when that stays plain.
func (r *Keyring) Writes() (use Use, ok bool) {
	k := &r.keys[0]
	return Use{Provider: k.Provider, Key: k.Name}, k.prefix != nil
}

// Has says whether r opens what the other ring seals now.
func (r *Keyring) Has(other *Keyring) bool {
	probe, path := make([]byte, 32), []byte("probe")
	if _, err := rand.Read(probe); err != nil {
		return false
	}
	sealed, err := other.Seal(probe, path)
	if err != nil {
		return false
	}
	plain, err := r.Open(sealed, path)
	return err == nil && bytes.Equal(plain, probe)
}

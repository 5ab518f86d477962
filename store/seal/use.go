package seal

import (
	"bytes"
	"fmt"
	"strings"
)

// Use says what one key sealed: the objects that are lost without it.
type Use struct {
	Provider, Key string
	Objects       int
	Example       string // one of their paths in etcd
}

// String is the key as EncryptionConfiguration finds it.
func (u Use) String() string { return u.Provider + "/" + u.Key }

// LostError refuses to go on because values are sealed with keys that no
// configuration has: with a new key they would be lost for good.
type LostError struct {
	Path string // of the configuration file, if known
	Lost []Use
}

// Error says what is lost and which file brings it back.
func (e *LostError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		fmt.Fprintf(&b, "encryption configuration %s: ", e.Path)
	}
	for i, u := range e.Lost {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d objects (such as %s) are sealed with key %q of provider %s", u.Objects, u.Example, u.Key, u.Provider)
	}
	b.WriteString(", which is not there: put the file that holds it back from a backup")
	return b.String()
}

// Is makes the error an ErrSealed.
func (e *LostError) Is(target error) bool { return target == ErrSealed }

// nameMax bounds what is read as a key's name; the rest of a value is noise.
const nameMax = 256

// KeyOf reads off a stored value which key sealed it; ok is false for a plain
// one. A value that is sealed in a form nobody knows has no key.
func KeyOf(stored []byte) (provider, key string, ok bool) {
	rest, ok := bytes.CutPrefix(stored, []byte(common))
	if !ok {
		return "", "", false
	}
	var names [3]string // provider, version, key
	for i := range names {
		n := bytes.IndexByte(rest[:min(len(rest), nameMax)], ':')
		if n < 0 {
			return names[0], "", true
		}
		names[i], rest = string(rest[:n]), rest[n+1:]
	}
	return names[0], names[2], true
}

// Opens says whether any keyring opens a stored value. A plain one is open.
func (c *Config) Opens(stored, path []byte) bool {
	if !bytes.HasPrefix(stored, []byte(common)) {
		return true
	}
	if c == nil {
		return false
	}
	for _, r := range c.rules {
		if _, err := r.ring.Open(stored, path); err == nil {
			return true
		}
	}
	return false
}

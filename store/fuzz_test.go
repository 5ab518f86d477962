package store

import (
	"errors"
	"strings"
	"testing"
)

func FuzzToken(f *testing.F) {
	f.Add(token{Revision: 7, Start: "a/b\x00"}.String())
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYVx1MDAwMCJ9")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := parseToken(s)
		if err != nil {
			if !errors.Is(err, ErrBadToken) {
				t.Fatal(err)
			}
			return
		}
		for _, namespaced := range []bool{true, false} {
			k, err := tok.start(namespaced, "")
			if err == nil && (k.path()+"\x00" != tok.Start || strings.Contains(k.Name, "/")) {
				t.Fatal(k, tok.Start)
			}
		}
		if again, err := parseToken(tok.String()); err != nil || again != tok {
			t.Fatal(again, tok, err)
		}
	})
}

// FuzzKey: an etcd key is of a collection in one way or in none.
func FuzzKey(f *testing.F) {
	f.Add("a/b", true)
	f.Add("a", false)
	f.Add("a//b", true)
	f.Add("/", false)
	s := &Store{prefix: "/registry/"}
	f.Fuzz(func(t *testing.T, rest string, namespaced bool) {
		c := &collection{store: s, prefix: "/registry/pods/", res: Resource{Namespaced: namespaced}}
		k, ok := c.key([]byte(c.prefix + rest))
		if !ok {
			return
		}
		if c.path(k) != c.prefix+rest || k.Name == "" || strings.Contains(k.Name, "/") || strings.Contains(k.Namespace, "/") || namespaced != (k.Namespace != "") {
			t.Fatalf("%q: %+v", rest, k)
		}
	})
}

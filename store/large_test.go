package store

import (
	"errors"
	"strings"
	"testing"
)

// An object that etcd does not take is the writer's fault, and nothing is written.
func TestTooLarge(t *testing.T) {
	c := pods(t, openStore(t, Options{}))
	p := pod("n", "a", "")
	p.Annotations = map[string]string{"a": strings.Repeat("x", 4<<20)}
	if _, err := c.Create(t.Context(), p); !errors.Is(err, ErrTooLarge) {
		t.Errorf("create: %v", err)
	}
	if _, err := c.Create(t.Context(), pod("n", "b", "")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Update(t.Context(), Key{Namespace: "n", Name: "b"}, func(e *Entry) (Object, error) {
		o := e.Object.DeepCopyObject().(Object)
		o.SetAnnotations(p.Annotations)
		return o, nil
	})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("update: %v", err)
	}
	if _, err := c.Get(t.Context(), Key{Namespace: "n", Name: "a"}, Freshness{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

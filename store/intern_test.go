package store

import (
	"fmt"
	"testing"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestFieldSetsAreShared: two objects that one manager wrote alike hold its field
// set once, and a copy of one is its own.
func TestFieldSetsAreShared(t *testing.T) {
	c := pods(t, openStore(t, Options{}))
	var raw [2][]byte
	for i := range raw {
		p := pod("default", fmt.Sprint("p", i), "")
		p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:nodeName":{}}}`)}}}
		e, err := c.Create(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		raw[i] = e.Object.GetManagedFields()[0].FieldsV1.Raw
		mine := e.Object.DeepCopyObject().(Object).GetManagedFields()[0].FieldsV1.Raw
		mine[0] = 'x'
	}
	if string(raw[0]) != `{"f:spec":{"f:nodeName":{}}}` || string(raw[1]) != string(raw[0]) {
		t.Errorf("%s and %s", raw[0], raw[1])
	}
	// A garbage collection in between may part them; it must not change them.
	t.Logf("shared: %v", unsafe.SliceData(raw[0]) == unsafe.SliceData(raw[1]))
}

// TestForget: encodings come back when they are asked for again.
func TestForget(t *testing.T) {
	s := openStore(t, Options{})
	e, err := pods(t, s).Create(t.Context(), pod("default", "p", ""))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	encode := func(Object) ([]byte, error) { n++; return []byte("x"), nil }
	for range 2 {
		for range 2 {
			if b, err := e.Encoded(0, encode); err != nil || string(b) != "x" {
				t.Fatal(string(b), err)
			}
		}
		s.Forget()
	}
	if n != 2 {
		t.Errorf("encoded %d times", n)
	}
}

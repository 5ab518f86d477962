package store

import (
	"fmt"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
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

// A new object shares its field sets' bytes with others, and what it was made from, which
// everybody reads, is not written to.
func TestInternLeavesTheSharedAlone(t *testing.T) {
	fields := func() *metav1.FieldsV1 { return &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:x":{}}}`)} }
	live := &corev1.Pod{}
	live.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "a", FieldsV1: fields()}, {Manager: "b"}, {Manager: "c", FieldsV1: fields()}}
	list, first, bytes := &live.ManagedFields[0], live.ManagedFields[0].FieldsV1, unsafe.SliceData(live.ManagedFields[0].FieldsV1.Raw)
	next := *live // as a binding or a status write does
	done := make(chan struct{})
	go func() { // readers never stop, and the race detector watches
		defer close(done)
		for range 100 {
			for _, e := range live.ManagedFields {
				if e.FieldsV1 != nil && len(e.FieldsV1.Raw) == 0 {
					t.Error("emptied")
				}
			}
		}
	}()
	intern(&next)
	<-done
	if &live.ManagedFields[0] != list || live.ManagedFields[0].FieldsV1 != first || unsafe.SliceData(first.Raw) != bytes {
		t.Error("the object that everybody reads was written to")
	}
	a, c := next.ManagedFields[0].FieldsV1.Raw, next.ManagedFields[2].FieldsV1.Raw
	if string(a) != string(fields().Raw) || unsafe.SliceData(a) != unsafe.SliceData(c) {
		t.Error("two equal field sets are not shared")
	}
	again := next
	intern(&again)
	if &again.ManagedFields[0] != &next.ManagedFields[0] {
		t.Error("what is shared already was copied")
	}
}

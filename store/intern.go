package store

import (
	"slices"
	"unique"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// intern makes objects share the bytes of field sets, which are the same for all
// objects that one manager writes the same way and a good part of a small object.
// Nothing is kept for it: the sets written since the last garbage collection are
// the ones to share with.
//
// obj itself is the caller's own, but its list of managers and what they point to may
// belong to the object it was made from, which others read: those are never written to.
func intern(obj Object) {
	if _, untyped := obj.(runtime.Unstructured); untyped {
		return // answers with copies
	}
	entries := obj.GetManagedFields()
	own := false
	for i := range entries {
		f := entries[i].FieldsV1
		if f == nil || len(f.Raw) == 0 {
			continue
		}
		s := unique.Make(string(f.Raw)).Value()
		if unsafe.StringData(s) == unsafe.SliceData(f.Raw) {
			continue // shared already
		}
		if !own {
			entries, own = slices.Clone(entries), true
		}
		// Read-only, as all of the object is; the setter would copy.
		entries[i].FieldsV1 = &metav1.FieldsV1{Raw: unsafe.Slice(unsafe.StringData(s), len(s))}
	}
	if own {
		obj.SetManagedFields(entries)
	}
}

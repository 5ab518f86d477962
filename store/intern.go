package store

import (
	"unique"
	"unsafe"

	"k8s.io/apimachinery/pkg/runtime"
)

// intern makes objects share the bytes of field sets, which are the same for all
// objects that one manager writes the same way and a good part of a small object.
// Nothing is kept for it: the sets written since the last garbage collection are
// the ones to share with.
func intern(obj Object) {
	if _, untyped := obj.(runtime.Unstructured); untyped {
		return // answers with copies
	}
	for _, m := range obj.GetManagedFields() {
		if m.FieldsV1 == nil || len(m.FieldsV1.Raw) == 0 {
			continue
		}
		s := unique.Make(string(m.FieldsV1.Raw)).Value()
		m.FieldsV1.Raw = unsafe.Slice(unsafe.StringData(s), len(s)) // read-only, as all of the object is; the setter would copy
	}
}

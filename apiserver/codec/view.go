package codec

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"hyperkube/apiserver/kind"
	"hyperkube/store"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The slots of store.Entry. A stored version has the first two, a further
// version of the same kind (by its place in kind.Versions) the next ones.
const (
	slotProto store.Format = iota // bare protobuf message
	slotJSON                      // JSON without kind and apiVersion
	slotPartialProto
	slotPartialJSON
	slotVersions // two for every further version, while they last
)

// noSlot marks an encoding that is not kept.
const noSlot = store.Format(store.Formats)

// View is a kind as one group-version shows it: its heads and where the shared
// encodings are kept. It is immutable.
type View struct {
	GVK     schema.GroupVersionKind
	ListGVK schema.GroupVersionKind
	Columns []metav1.TableColumnDefinition
	Row     func(obj store.Object, now time.Time) []any

	convert               func(store.Object) (runtime.Object, error) // nil for the stored version
	proto, json           store.Format
	protoHead, jsonHead   []byte
	partialProto, pJSON   []byte // heads of PartialObjectMetadata
	protoListHead, jsList []byte
}

// StoredView is how k looks in the version in which it is stored.
func StoredView(k *kind.Kind, scheme *runtime.Scheme) (*View, error) {
	v := &View{GVK: k.GVK(), Columns: k.Columns, Row: k.Row, proto: slotProto, json: slotJSON}
	if k.IsVirtual || k.NewList == nil {
		v.ListGVK = v.GVK.GroupVersion().WithKind(v.GVK.Kind + "List")
		v.heads()
		return v, nil
	}
	return v, v.listKind(k.NewList, scheme)
}

// VersionView is how k looks in its i-th further version.
func VersionView(k *kind.Kind, i int, scheme *runtime.Scheme) (*View, error) {
	ver := &k.Versions[i]
	v := &View{GVK: ver.GVK(), Columns: ver.Columns, Row: ver.Row, convert: ver.To, proto: noSlot, json: noSlot}
	if f := slotVersions + store.Format(2*i); f+1 < store.Formats {
		v.proto, v.json = f, f+1
	}
	return v, v.listKind(ver.NewList, scheme)
}

func (v *View) listKind(newList func() runtime.Object, scheme *runtime.Scheme) error {
	kinds, _, err := scheme.ObjectKinds(newList())
	if err != nil {
		return fmt.Errorf("list of %s: %w", v.GVK, err)
	}
	v.ListGVK = v.GVK.GroupVersion().WithKind(kinds[0].Kind)
	v.heads()
	return nil
}

func (v *View) heads() {
	v.protoHead, v.jsonHead = protoHead(v.GVK), jsonHead(v.GVK)
	partial := metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata")
	partial.Group = metav1.GroupName
	v.partialProto, v.pJSON = protoHead(partial), jsonHead(partial)
	v.protoListHead, v.jsList = protoHead(v.ListGVK), jsonHead(v.ListGVK)
}

// protoHead is the magic number and the TypeMeta of the runtime.Unknown that
// wraps every protobuf answer.
func protoHead(gvk schema.GroupVersionKind) []byte {
	meta := runtime.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}
	b, _ := meta.Marshal() // strings cannot fail to marshal
	head := append([]byte{'k', '8', 's', 0}, 1<<3|2)
	head = binary.AppendUvarint(head, uint64(len(b)))
	return append(head, b...)
}

// protoTail are the empty contentEncoding and contentType of runtime.Unknown.
var protoTail = [...]byte{3<<3 | 2, 0, 4<<3 | 2, 0}

func jsonHead(gvk schema.GroupVersionKind) []byte {
	return fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q`, gvk.Kind, gvk.GroupVersion().String())
}

// Served converts the stored object into this version. The result is shared
// when no conversion is needed: read-only.
func (v *View) Served(obj store.Object) (runtime.Object, error) {
	if v.convert == nil {
		return obj, nil
	}
	return v.convert(obj)
}

// Proto returns the entry as a bare protobuf message, shared and read-only.
func (v *View) Proto(e *store.Entry) ([]byte, error) {
	if v.proto == noSlot {
		return v.encodeProto(e.Object)
	}
	return e.Encoded(v.proto, v.encodeProto)
}

// JSON returns the entry as JSON without kind and apiVersion, shared and read-only.
func (v *View) JSON(e *store.Entry) ([]byte, error) {
	if v.json == noSlot {
		return v.encodeJSON(e.Object)
	}
	return e.Encoded(v.json, v.encodeJSON)
}

func (v *View) encodeProto(o store.Object) ([]byte, error) {
	served, err := v.Served(o)
	if err != nil {
		return nil, err
	}
	return MarshalProto(served)
}

func (v *View) encodeJSON(o store.Object) ([]byte, error) {
	served, err := v.Served(o)
	if err != nil {
		return nil, err
	}
	return marshalBareJSON(served)
}

func partialOf(o store.Object) *metav1.PartialObjectMetadata {
	if m, ok := o.(metav1.ObjectMetaAccessor); ok {
		if meta, ok := m.GetObjectMeta().(*metav1.ObjectMeta); ok {
			return &metav1.PartialObjectMetadata{ObjectMeta: *meta}
		}
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: o.GetName(), GenerateName: o.GetGenerateName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
		ResourceVersion: o.GetResourceVersion(), Generation: o.GetGeneration(), CreationTimestamp: o.GetCreationTimestamp(),
		DeletionTimestamp: o.GetDeletionTimestamp(), DeletionGracePeriodSeconds: o.GetDeletionGracePeriodSeconds(),
		Labels: o.GetLabels(), Annotations: o.GetAnnotations(), OwnerReferences: o.GetOwnerReferences(),
		Finalizers: o.GetFinalizers(), ManagedFields: o.GetManagedFields(),
	}}
}

func encodePartialProto(o store.Object) ([]byte, error) { return MarshalProto(partialOf(o)) }
func encodePartialJSON(o store.Object) ([]byte, error)  { return marshalBareJSON(partialOf(o)) }

type protoMessage interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

// MarshalProto encodes a published type as a bare message; types without a
// protobuf form get a 406.
func MarshalProto(o any) ([]byte, error) {
	m, ok := o.(protoMessage)
	if !ok {
		return nil, failure(406, metav1.StatusReasonNotAcceptable,
			fmt.Sprintf("object %T does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message", o))
	}
	b := make([]byte, m.Size())
	n, err := m.MarshalToSizedBuffer(b)
	return b[len(b)-n:], err
}

// marshalBareJSON encodes a typed object whose TypeMeta is empty. One that
// carries a TypeMeta all the same is copied without it.
func marshalBareJSON(o runtime.Object) ([]byte, error) {
	if !o.GetObjectKind().GroupVersionKind().Empty() {
		o = o.DeepCopyObject()
		o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
	return json.Marshal(o)
}

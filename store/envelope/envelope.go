// Package envelope turns objects into the bytes that lie in etcd and back.
//
//	typed object    "k8s\x00" + runtime.Unknown{TypeMeta, Raw: protobuf}
//	anything else   JSON with apiVersion and kind
//
// Contract: bytes are the ones every other Kubernetes writes and reads; the
// same object always gives the same bytes; resourceVersion is never stored.
package envelope

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// magic begins every protobuf value.
var magic = []byte("k8s\x00")

// ErrForeign: the value is neither protobuf of the standard form nor JSON.
var ErrForeign = errors.New("stored value has an unknown form")

type marshaler interface {
	Size() int
	MarshalTo([]byte) (int, error)
}

type unmarshaler interface{ Unmarshal([]byte) error }

// Codec encodes the objects of one storage version.
type Codec struct {
	head []byte // magic and the TypeMeta field, ready to copy
	gvk  schema.GroupVersionKind
}

// NewCodec prepares the envelope of gvk.
func NewCodec(gvk schema.GroupVersionKind) *Codec {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	meta := field(nil, 1, apiVersion)
	meta = field(meta, 2, kind)
	head := field(append([]byte(nil), magic...), 1, string(meta))
	return &Codec{head: head, gvk: gvk}
}

func field(b []byte, number byte, value string) []byte {
	b = append(b, number<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// tail is the Unknown's empty contentEncoding and contentType.
var tail = []byte{0x1a, 0, 0x22, 0}

// Encode appends the stored form of obj to buf[:0]. The object's
// resourceVersion must be empty.
func (c *Codec) Encode(buf []byte, obj runtime.Object) ([]byte, error) {
	m, ok := obj.(marshaler)
	if !ok {
		return c.encodeJSON(obj)
	}
	size := m.Size()
	need := len(c.head) + 1 + binary.MaxVarintLen32 + size + len(tail)
	if cap(buf) < need {
		buf = make([]byte, 0, need)
	}
	b := append(buf[:0], c.head...)
	b = append(b, 2<<3|2)
	b = binary.AppendUvarint(b, uint64(size))
	raw := b[len(b) : len(b)+size]
	n, err := m.MarshalTo(raw)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", c.gvk.Kind, err)
	}
	if n != size {
		return nil, fmt.Errorf("encoding %s: %d bytes instead of %d: object is being changed", c.gvk.Kind, n, size)
	}
	return append(b[:len(b)+size], tail...), nil
}

func (c *Codec) encodeJSON(obj runtime.Object) ([]byte, error) {
	kind := obj.GetObjectKind()
	if kind.GroupVersionKind() != c.gvk {
		kind.SetGroupVersionKind(c.gvk)
	}
	b, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", c.gvk.Kind, err)
	}
	return b, nil
}

// Decode fills into, an empty object of the codec's kind.
func (c *Codec) Decode(data []byte, into runtime.Object) error {
	if !bytes.HasPrefix(data, magic) {
		return c.decodeJSON(data, into)
	}
	u, ok := into.(unmarshaler)
	if !ok {
		return fmt.Errorf("%w: protobuf for %T", ErrForeign, into)
	}
	meta, raw, err := open(data[len(magic):])
	if err != nil {
		return err
	}
	if err := c.check(meta); err != nil {
		return err
	}
	if err := u.Unmarshal(raw); err != nil {
		return fmt.Errorf("decoding %s: %w", c.gvk.Kind, err)
	}
	return nil
}

func (c *Codec) decodeJSON(data []byte, into runtime.Object) error {
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return ErrForeign
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decoding %s: %w", c.gvk.Kind, err)
	}
	var meta typeMeta
	meta.apiVersion, meta.kind = into.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	if err := c.check(meta); err != nil {
		return err
	}
	if _, typed := into.(unmarshaler); typed { // published types carry no TypeMeta in the store
		into.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
	return nil
}

type typeMeta struct{ apiVersion, kind string }

func (c *Codec) check(m typeMeta) error {
	apiVersion, kind := c.gvk.ToAPIVersionAndKind()
	if m.kind == kind && m.apiVersion == apiVersion {
		return nil
	}
	return fmt.Errorf("%w: %s %s instead of %s %s", ErrForeign, m.apiVersion, m.kind, apiVersion, kind)
}

// open finds type and payload of a runtime.Unknown without copying the payload.
func open(b []byte) (meta typeMeta, raw []byte, err error) {
	err = fields(b, func(number uint64, value []byte) error {
		switch number {
		case 1:
			return fields(value, func(n uint64, v []byte) error {
				switch n {
				case 1:
					meta.apiVersion = string(v)
				case 2:
					meta.kind = string(v)
				}
				return nil
			})
		case 2:
			raw = value
		case 3, 4:
			if len(value) > 0 {
				return fmt.Errorf("%w: content encoding or type %q", ErrForeign, value)
			}
		}
		return nil
	})
	return meta, raw, err
}

// fields walks a message that has only length-delimited fields.
func fields(b []byte, visit func(number uint64, value []byte) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag&7 != 2 {
			return fmt.Errorf("%w: bad field", ErrForeign)
		}
		size, k := binary.Uvarint(b[n:])
		if k <= 0 || size > uint64(len(b)-n-k) {
			return fmt.Errorf("%w: truncated", ErrForeign)
		}
		b = b[n+k:]
		if err := visit(tag>>3, b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"

	"hyperkube/store"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// AppendEntry appends the whole answer for one object in m's wire and shape.
func (v *View) AppendEntry(dst []byte, m Media, e *store.Entry) ([]byte, error) {
	if m.Shape == Table {
		t, err := v.table(m, []*store.Entry{e}, metav1.ListMeta{ResourceVersion: e.Object.GetResourceVersion()}, true)
		if err != nil {
			return dst, err
		}
		return AppendObject(dst, m, t, tableKind(m))
	}
	if m.Wire == Proto {
		body, err := v.protoBody(m, e)
		if err != nil {
			return dst, err
		}
		return appendProto(dst, v.headOf(m), body), nil
	}
	body, err := v.jsonBody(m, e)
	if err != nil {
		return dst, err
	}
	if m.Wire == JSON && !m.Pretty {
		return append(appendJSON(dst, v.headOf(m), body), '\n'), nil
	}
	return appendReadable(dst, m, appendJSON(nil, v.headOf(m), body))
}

// AppendWritten is AppendEntry for the answer to a write by a role of this process:
// the message is made in place and not kept.
func (v *View) AppendWritten(dst []byte, m Media, e *store.Entry) ([]byte, error) {
	msg, ok := e.Object.(protoMessage)
	if !ok || m.Wire != Proto || m.Shape != Whole || v.convert != nil || e.Holds(v.proto) {
		return v.AppendEntry(dst, m, e)
	}
	size := msg.Size()
	dst = slices.Grow(dst, protoSize(v.protoHead, size))
	dst = append(append(dst, v.protoHead...), 2<<3|2)
	dst = binary.AppendUvarint(dst, uint64(size))
	at := len(dst)
	dst = dst[:at+size]
	if _, err := msg.MarshalToSizedBuffer(dst[at:]); err != nil {
		return dst[:at], err
	}
	return append(dst, protoTail[:]...), nil
}

// WholeJSON returns one object as compact JSON, kind and apiVersion included.
func (v *View) WholeJSON(e *store.Entry) ([]byte, error) {
	body, err := v.JSON(e)
	if err != nil {
		return nil, err
	}
	return appendJSON(make([]byte, 0, len(v.jsonHead)+len(body)+1), v.jsonHead, body), nil
}

func (v *View) headOf(m Media) []byte {
	switch {
	case m.Wire == Proto && m.Shape == Partial:
		return v.partialProto
	case m.Wire == Proto:
		return v.protoHead
	case m.Shape == Partial:
		return v.pJSON
	}
	return v.jsonHead
}

func (v *View) protoBody(m Media, e *store.Entry) ([]byte, error) {
	if m.Shape == Partial {
		return e.Encoded(slotPartialProto, encodePartialProto)
	}
	return v.Proto(e)
}

func (v *View) jsonBody(m Media, e *store.Entry) ([]byte, error) {
	if m.Shape == Partial {
		return e.Encoded(slotPartialJSON, encodePartialJSON)
	}
	return v.JSON(e)
}

// appendProto puts the runtime.Unknown envelope around a message.
func appendProto(dst, head, body []byte) []byte {
	dst = append(dst, head...)
	dst = append(dst, 2<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = append(dst, body...)
	return append(dst, protoTail[:]...)
}

// protoSize is how long appendProto's result is.
func protoSize(head []byte, body int) int {
	return len(head) + 1 + uvarintLen(uint64(body)) + body + len(protoTail)
}

func uvarintLen(n uint64) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

// appendJSON joins {"kind":…,"apiVersion":… with the rest of an object.
func appendJSON(dst, head, body []byte) []byte {
	dst = append(dst, head...)
	if len(body) <= 2 {
		return append(dst, '}')
	}
	dst = append(dst, ',')
	return append(dst, body[1:]...)
}

// appendReadable writes compact JSON as YAML or indented.
func appendReadable(dst []byte, m Media, compact []byte) ([]byte, error) {
	if m.Wire == YAML {
		y, err := yaml.JSONToYAML(compact)
		return append(dst, y...), err
	}
	buf := bytes.NewBuffer(dst)
	if err := json.Indent(buf, compact, "", "  "); err != nil {
		return dst, err
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

// AppendObject encodes any object (Status, Table, Scale, reviews) under gvk.
func AppendObject(dst []byte, m Media, obj runtime.Object, gvk schema.GroupVersionKind) ([]byte, error) {
	if m.Wire == Proto {
		body, err := MarshalProto(obj)
		if err != nil {
			return dst, err
		}
		return appendProto(dst, protoHead(gvk), body), nil
	}
	body, err := marshalBareJSON(obj)
	if err != nil {
		return dst, err
	}
	if m.Wire == JSON && !m.Pretty {
		return append(appendJSON(dst, jsonHead(gvk), body), '\n'), nil
	}
	return appendReadable(dst, m, appendJSON(nil, jsonHead(gvk), body))
}

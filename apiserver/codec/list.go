package codec

import (
	"encoding/binary"
	"encoding/json"
	"io"

	"hyperkube/store"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// flushAt is how much of a list is gathered before it is written.
const flushAt = 64 << 10

// WriteList streams a list by joining the encodings its entries share. Memory
// does not grow with the list, but for tables, YAML and pretty answers. buf is
// scratch space and is returned for reuse.
func (v *View) WriteList(w io.Writer, m Media, l *store.List, buf []byte) ([]byte, error) {
	meta := metav1.ListMeta{
		ResourceVersion: FormatRevision(l.Revision), Continue: l.Continue, RemainingItemCount: l.Remaining,
	}
	switch {
	case m.Shape == Table:
		return v.writeTable(w, m, l, meta, buf)
	case m.Wire == Proto:
		return v.writeProtoList(w, m, l, &meta, buf)
	case m.Wire == JSON && !m.Pretty:
		return v.writeJSONList(w, m, l, &meta, buf)
	}
	whole := &sink{}
	compact := m
	compact.Wire, compact.Pretty = JSON, false
	if _, err := v.writeJSONList(whole, compact, l, &meta, nil); err != nil {
		return buf, err
	}
	out, err := appendReadable(buf[:0], m, whole.b)
	if err != nil {
		return buf, err
	}
	_, err = w.Write(out)
	return out, err
}

type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) { s.b = append(s.b, p...); return len(p), nil }

func (v *View) listHead(m Media) []byte {
	if m.Shape == Partial {
		gvk := tableKind(m)
		gvk.Kind = "PartialObjectMetadataList"
		if m.Wire == Proto {
			return protoHead(gvk)
		}
		return jsonHead(gvk)
	}
	if m.Wire == Proto {
		return v.protoListHead
	}
	return v.jsList
}

// writeProtoList needs the length of the message before its first byte, so the
// entries are ranged over twice; the first pass fills the shared encodings.
func (v *View) writeProtoList(w io.Writer, m Media, l *store.List, meta *metav1.ListMeta, buf []byte) ([]byte, error) {
	mb, err := meta.Marshal()
	if err != nil {
		return buf, err
	}
	size := 1 + uvarintLen(uint64(len(mb))) + len(mb)
	for e := range l.Entries {
		b, err := v.protoBody(m, e)
		if err != nil {
			return buf, err
		}
		size += 1 + uvarintLen(uint64(len(b))) + len(b)
	}
	head := v.listHead(m)
	if s, ok := w.(Sizer); ok {
		s.SetSize(protoSize(head, size))
	}
	buf = append(buf[:0], head...)
	buf = append(buf, 2<<3|2)
	buf = binary.AppendUvarint(buf, uint64(size))
	buf = appendField(buf, 1, mb)
	for e := range l.Entries {
		b, err := v.protoBody(m, e)
		if err != nil {
			return buf, err
		}
		buf = appendField(buf, 2, b)
		if len(buf) >= flushAt {
			if _, err := w.Write(buf); err != nil {
				return buf, err
			}
			buf = buf[:0]
		}
	}
	buf = append(buf, protoTail[:]...)
	_, err = w.Write(buf)
	return buf, err
}

// Sizer is a writer that wants to know how long the answer will be.
type Sizer interface{ SetSize(n int) }

func appendField(dst []byte, field byte, b []byte) []byte {
	dst = append(dst, field<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func (v *View) writeJSONList(w io.Writer, m Media, l *store.List, meta *metav1.ListMeta, buf []byte) ([]byte, error) {
	mb, err := json.Marshal(meta)
	if err != nil {
		return buf, err
	}
	buf = append(buf[:0], v.listHead(m)...)
	buf = append(append(buf, `,"metadata":`...), mb...)
	buf = append(buf, `,"items":[`...)
	first := true
	for e := range l.Entries {
		b, err := v.jsonBody(m, e)
		if err != nil {
			return buf, err
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		if m.Shape == Partial { // its items name their kind, as they would alone
			buf = appendJSON(buf, v.headOf(m), b)
		} else {
			buf = append(buf, b...)
		}
		if len(buf) >= flushAt {
			if _, err := w.Write(buf); err != nil {
				return buf, err
			}
			buf = buf[:0]
		}
	}
	buf = append(buf, "]}\n"...)
	_, err = w.Write(buf)
	return buf, err
}

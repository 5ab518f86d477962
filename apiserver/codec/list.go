package codec

import (
	"encoding/binary"
	"encoding/json"
	"io"

	"hyperkube/store"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pieceSize is how much of a list is written at a time: with the header of an
// HTTP/2 frame it fills one TLS record, so that a piece is one frame, one record
// and one system call.
const pieceSize = 16<<10 - 9

// pieces hands a list over in such pieces.
type pieces struct {
	w   io.Writer
	buf []byte
}

// flush writes all full pieces, or with last everything.
func (p *pieces) flush(last bool) error {
	rest := p.buf
	for len(rest) >= pieceSize || last && len(rest) > 0 {
		n := min(len(rest), pieceSize)
		if _, err := p.w.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	p.buf = p.buf[:copy(p.buf, rest)]
	return nil
}

// WriteList streams a list by joining the encodings its entries share. Memory
// does not grow with the list. buf is scratch space and is returned for reuse.
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
	return v.writeReadableList(w, m, l, &meta, buf)
}

func (v *View) writeReadableList(w io.Writer, m Media, l *store.List, meta *metav1.ListMeta, buf []byte) ([]byte, error) {
	mb, err := json.Marshal(meta)
	if err != nil {
		return buf, err
	}
	compact := m
	compact.Wire, compact.Pretty = JSON, false
	empty := append(append([]byte{}, v.listHead(compact)...), `,"metadata":`...)
	empty = append(append(empty, mb...), `,"items":[]}`...)
	out, err := newReadable(w, m, buf, empty, "items")
	if err != nil {
		return buf, err
	}
	var item []byte
	for e := range l.Entries {
		b, err := v.jsonBody(compact, e)
		if err != nil {
			return out.buf, err
		}
		if m.Shape == Partial { // its items name their kind, as they would alone
			item = appendJSON(item[:0], v.headOf(compact), b)
		} else {
			item = append(item[:0], b...)
		}
		if err := out.add(item); err != nil {
			return out.buf, err
		}
	}
	return out.end()
}

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
	out := pieces{w, append(buf[:0], head...)}
	out.buf = append(out.buf, 2<<3|2)
	out.buf = binary.AppendUvarint(out.buf, uint64(size))
	out.buf = appendField(out.buf, 1, mb)
	for e := range l.Entries {
		b, err := v.protoBody(m, e)
		if err != nil {
			return out.buf, err
		}
		out.buf = appendField(out.buf, 2, b)
		if len(out.buf) >= pieceSize {
			if err := out.flush(false); err != nil {
				return out.buf, err
			}
		}
	}
	out.buf = append(out.buf, protoTail[:]...)
	return out.buf, out.flush(true)
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
	out := pieces{w, append(buf[:0], v.listHead(m)...)}
	out.buf = append(append(out.buf, `,"metadata":`...), mb...)
	out.buf = append(out.buf, `,"items":[`...)
	first := true
	for e := range l.Entries {
		b, err := v.jsonBody(m, e)
		if err != nil {
			return out.buf, err
		}
		if !first {
			out.buf = append(out.buf, ',')
		}
		first = false
		if m.Shape == Partial { // its items name their kind, as they would alone
			out.buf = appendJSON(out.buf, v.headOf(m), b)
		} else {
			out.buf = append(out.buf, b...)
		}
		if len(out.buf) >= pieceSize {
			if err := out.flush(false); err != nil {
				return out.buf, err
			}
		}
	}
	out.buf = append(out.buf, "]}\n"...)
	return out.buf, out.flush(true)
}

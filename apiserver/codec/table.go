package codec

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"hyperkube/store"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// FormatRevision writes a revision as a resourceVersion.
func FormatRevision(n int64) string { return strconv.FormatInt(n, 10) }

func tableKind(m Media) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: m.Version, Kind: "Table"}
}

// plainColumns serve kinds that declare none.
var plainColumns = [...]metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name must be unique within a namespace."},
	{Name: "Created At", Type: "date", Description: "When the server first saw the object."},
}

// table makes the rows of entries; headers says whether the columns are named.
func (v *View) table(m Media, entries []*store.Entry, meta metav1.ListMeta, headers bool) (*metav1.Table, error) {
	t := &metav1.Table{ListMeta: meta, Rows: make([]metav1.TableRow, 0, len(entries))}
	if headers {
		t.ColumnDefinitions = v.Columns
		if len(v.Columns) == 0 || v.Row == nil {
			t.ColumnDefinitions = plainColumns[:]
		}
	}
	now := time.Now()
	for _, e := range entries {
		row := metav1.TableRow{Cells: v.cells(e.Object, now)}
		raw, err := v.rowObject(m, e)
		if err != nil {
			return nil, err
		}
		row.Object = runtime.RawExtension{Raw: raw}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func (v *View) cells(o store.Object, now time.Time) []any {
	if v.Row == nil || len(v.Columns) == 0 {
		return []any{o.GetName(), o.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	return v.Row(o, now)
}

// rowObject is what a row carries of its object: the JSON of all or of its
// metadata, or nothing.
func (v *View) rowObject(m Media, e *store.Entry) ([]byte, error) {
	switch m.Objects {
	case metav1.IncludeNone:
		return nil, nil
	case metav1.IncludeObject:
		b, err := v.JSON(e)
		if err != nil {
			return nil, err
		}
		return appendJSON(nil, v.jsonHead, b), nil
	}
	b, err := e.Encoded(slotPartialJSON, encodePartialJSON)
	if err != nil {
		return nil, err
	}
	head := v.pJSON
	if m.Version != "v1" {
		gvk := tableKind(m)
		gvk.Kind = "PartialObjectMetadata"
		head = jsonHead(gvk)
	}
	return appendJSON(nil, head, b), nil
}

// rows is what a streamed table writes its rows to.
type rows interface {
	add(row []byte) error
	end() ([]byte, error)
}

// writeTable streams a table row by row: what rows carry of their objects is copied once
// for each, into the piece that is sent.
func (v *View) writeTable(w io.Writer, m Media, l *store.List, meta metav1.ListMeta, buf []byte) ([]byte, error) {
	t, err := v.table(m, nil, meta, true)
	if err != nil {
		return buf, err
	}
	head, err := marshalBareJSON(t) // ends in "rows":[]}
	if err != nil {
		return buf, err
	}
	head = appendJSON(nil, jsonHead(tableKind(m)), head)
	var out rows
	if m.Wire != JSON || m.Pretty {
		out, err = newReadable(w, m, buf, head, "rows")
	} else {
		out = &compactRows{pieces: pieces{w, append(buf[:0], head[:len(head)-len("]}")]...)}}
	}
	if err != nil {
		return buf, err
	}
	now := time.Now()
	var row []byte
	for e := range l.Entries {
		if row, err = v.appendRow(row[:0], m, e, now); err == nil {
			err = out.add(row)
		}
		if err != nil {
			return buf, err
		}
	}
	return out.end()
}

// appendRow writes a row; raw row objects are copied, not parsed again.
func (v *View) appendRow(dst []byte, m Media, e *store.Entry, now time.Time) ([]byte, error) {
	cells, err := json.Marshal(v.cells(e.Object, now))
	if err != nil {
		return dst, err
	}
	raw, err := v.rowObject(m, e)
	if err != nil {
		return dst, err
	}
	if raw == nil {
		raw = []byte("null")
	}
	dst = append(append(dst, `{"cells":`...), cells...)
	dst = append(append(dst, `,"object":`...), raw...)
	return append(dst, '}'), nil
}

// compactRows writes rows as they are.
type compactRows struct {
	pieces
	more bool
}

func (r *compactRows) add(row []byte) error {
	if r.more {
		r.buf = append(r.buf, ',')
	}
	r.more = true
	r.buf = append(r.buf, row...)
	return r.flush(false)
}

func (r *compactRows) end() ([]byte, error) {
	r.buf = append(r.buf, "]}\n"...)
	return r.buf, r.flush(true)
}

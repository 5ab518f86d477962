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

func (v *View) writeTable(w io.Writer, m Media, l *store.List, meta metav1.ListMeta, buf []byte) ([]byte, error) {
	var entries []*store.Entry
	for e := range l.Entries {
		entries = append(entries, e)
	}
	t, err := v.table(m, entries, meta, true)
	if err != nil {
		return buf, err
	}
	if m.Wire != JSON || m.Pretty {
		if buf, err = AppendObject(buf[:0], m, t, tableKind(m)); err != nil {
			return buf, err
		}
		_, err = w.Write(buf)
		return buf, err
	}
	return writeRows(w, m, t, buf)
}

// writeRows streams a table: raw row objects are copied, not parsed again.
func writeRows(w io.Writer, m Media, t *metav1.Table, buf []byte) ([]byte, error) {
	rows := t.Rows
	t.Rows = []metav1.TableRow{}
	head, err := marshalBareJSON(t) // ends in "rows":[]}
	if err != nil {
		return buf, err
	}
	out := pieces{w, appendJSON(buf[:0], jsonHead(tableKind(m)), head)}
	out.buf = out.buf[:len(out.buf)-len("]}")]
	for i := range rows {
		if i > 0 {
			out.buf = append(out.buf, ',')
		}
		cells, err := json.Marshal(rows[i].Cells)
		if err != nil {
			return out.buf, err
		}
		out.buf = append(append(out.buf, `{"cells":`...), cells...)
		if raw := rows[i].Object.Raw; raw != nil {
			out.buf = append(append(out.buf, `,"object":`...), raw...)
		} else {
			out.buf = append(out.buf, `,"object":null`...)
		}
		out.buf = append(out.buf, '}')
		if len(out.buf) >= pieceSize {
			if err := out.flush(false); err != nil {
				return out.buf, err
			}
		}
	}
	out.buf = append(out.buf, "]}\n"...)
	return out.buf, out.flush(true)
}

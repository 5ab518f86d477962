package codec

import (
	"encoding/binary"

	"hyperkube/store"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Frames writes the events of one watch. Not safe for concurrent use.
type Frames struct {
	View  *View
	Media Media
	New   func() runtime.Object // an empty object of the view's kind, for bookmarks

	headed bool   // the first table has named its columns
	body   []byte // scratch
}

// ContentType of the stream.
func (f *Frames) ContentType() string {
	if f.Media.Wire == Proto {
		return Proto.String() + ";stream=watch"
	}
	return f.Media.Wire.String()
}

// Append appends one event's frame to dst.
func (f *Frames) Append(dst []byte, ev *store.Event) ([]byte, error) {
	if ev.Type == watch.Bookmark {
		return f.bookmark(dst, ev)
	}
	if f.Media.Shape == Table {
		return f.table(dst, ev.Type, ev.Entry)
	}
	if f.Media.Wire == Proto {
		b, err := f.View.protoBody(f.Media, ev.Entry)
		if err != nil {
			return dst, err
		}
		return appendProtoFrame(dst, ev.Type, f.View.headOf(f.Media), b), nil
	}
	b, err := f.View.jsonBody(f.Media, ev.Entry)
	if err != nil {
		return dst, err
	}
	dst = appendFrameStart(dst, ev.Type)
	return append(appendJSON(dst, f.View.headOf(f.Media), b), "}\n"...), nil
}

func appendFrameStart(dst []byte, t watch.EventType) []byte {
	dst = append(append(dst, `{"type":"`...), t...)
	return append(dst, `","object":`...)
}

// appendProtoFrame writes length, WatchEvent{type, object{raw: Unknown}}.
func appendProtoFrame(dst []byte, t watch.EventType, head, body []byte) []byte {
	unknown := protoSize(head, len(body))
	raw := 1 + uvarintLen(uint64(unknown)) + unknown
	event := 2 + len(t) + 1 + uvarintLen(uint64(raw)) + raw
	dst = binary.BigEndian.AppendUint32(dst, uint32(event))
	dst = append(dst, 1<<3|2, byte(len(t)))
	dst = append(dst, t...)
	dst = append(dst, 2<<3|2)
	dst = binary.AppendUvarint(dst, uint64(raw))
	dst = append(dst, 1<<3|2)
	dst = binary.AppendUvarint(dst, uint64(unknown))
	return appendProto(dst, head, body)
}

func (f *Frames) table(dst []byte, t watch.EventType, e *store.Entry) ([]byte, error) {
	tab, err := f.View.table(f.Media, []*store.Entry{e}, metav1.ListMeta{ResourceVersion: FormatRevision(e.Revision)}, !f.headed)
	if err != nil {
		return dst, err
	}
	f.headed = true
	return f.Object(dst, t, tab, tableKind(f.Media))
}

func (f *Frames) bookmark(dst []byte, ev *store.Event) ([]byte, error) {
	rv := FormatRevision(ev.Revision)
	annotations := map[string]string(nil)
	if ev.InitialEventsEnd {
		annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	obj, gvk := f.New(), f.View.GVK
	if f.Media.Shape == Partial {
		obj, gvk = &metav1.PartialObjectMetadata{}, tableKind(f.Media)
		gvk.Kind = "PartialObjectMetadata"
	}
	if m, ok := obj.(metav1.Object); ok {
		m.SetResourceVersion(rv)
		m.SetAnnotations(annotations)
	}
	if f.Media.Shape != Table {
		return f.Object(dst, ev.Type, obj, gvk)
	}
	e := store.NewEntry(obj.(store.Object), ev.Revision)
	return f.table(dst, ev.Type, e)
}

// Object appends an event with any object: bookmarks, the Status of an ERROR.
func (f *Frames) Object(dst []byte, t watch.EventType, obj runtime.Object, gvk schema.GroupVersionKind) ([]byte, error) {
	if f.Media.Wire == Proto {
		b, err := MarshalProto(obj)
		if err != nil {
			return dst, err
		}
		return appendProtoFrame(dst, t, protoHead(gvk), b), nil
	}
	b, err := marshalBareJSON(obj)
	if err != nil {
		return dst, err
	}
	dst = appendFrameStart(dst, t)
	return append(appendJSON(dst, jsonHead(gvk), b), "}\n"...), nil
}

package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/kind"
	"hyperkube/store"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
)

func configMaps(t testing.TB) (*View, []*store.Entry) {
	k := kind.New(kind.Spec[*corev1.ConfigMap]{
		Names: kind.Names{Version: "v1", Kind: "ConfigMap", Plural: "configmaps", Namespaced: true},
		New:   func() *corev1.ConfigMap { return &corev1.ConfigMap{} }, NewList: func() runtime.Object { return &corev1.ConfigMapList{} },
	})
	v, err := StoredView(k, scheme.New())
	if err != nil {
		t.Fatal(err)
	}
	var entries []*store.Entry
	for i, name := range []string{"a", "b", "c"} {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: FormatRevision(int64(i + 1))}, Data: map[string]string{"k": "<&>"}}
		entries = append(entries, store.NewEntry(m, int64(i+1)))
	}
	return v, entries
}

// TestLikeTheLibrary: what we join from shared encodings reads, with the client
// library's codecs, as the object or list it stands for.
func TestLikeTheLibrary(t *testing.T) {
	v, entries := configMaps(t)
	codecs := serializer.NewCodecFactory(scheme.New())
	left := int64(7)
	list := &store.List{Revision: 9, Entries: slices.Values(entries), Continue: "next", Remaining: &left}
	want := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "9", Continue: "next", RemainingItemCount: &left}}
	for _, e := range entries {
		want.Items = append(want.Items, *e.Object.(*corev1.ConfigMap))
	}
	for _, m := range []Media{{}, {Pretty: true}, {Wire: YAML}, {Wire: Proto}} {
		one, err := v.AppendEntry(nil, m, entries[1])
		if err != nil {
			t.Fatal(err)
		}
		got, gvk, err := codecs.UniversalDeserializer().Decode(one, nil, nil)
		if err != nil || *gvk != v.GVK {
			t.Fatalf("%v: %v %v", m, gvk, err)
		}
		got.GetObjectKind().SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind(""))
		got.(*corev1.ConfigMap).TypeMeta = metav1.TypeMeta{}
		if d := cmp.Diff(runtime.Object(entries[1].Object), got); d != "" {
			t.Errorf("%v: %s", m, d)
		}
		var buf bytes.Buffer
		if _, err := v.WriteList(&buf, m, list, nil); err != nil {
			t.Fatal(err)
		}
		got, gvk, err = codecs.UniversalDeserializer().Decode(buf.Bytes(), nil, nil)
		if err != nil || *gvk != v.ListGVK {
			t.Fatalf("%v: %v %v", m, gvk, err)
		}
		got.(*corev1.ConfigMapList).TypeMeta = metav1.TypeMeta{}
		if d := cmp.Diff(runtime.Object(want), got); d != "" {
			t.Errorf("list in %v: %s", m, d)
		}
	}
}

// TestEncodedOnce: a get, a list and a watch of one revision encode it once.
func TestEncodedOnce(t *testing.T) {
	v, entries := configMaps(t)
	first, err := v.JSON(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	again, _ := v.JSON(entries[0])
	if &first[0] != &again[0] {
		t.Error("the entry was encoded twice")
	}
}

// TestWritten: the answer to a write is the same bytes, and nothing is kept.
func TestWritten(t *testing.T) {
	v, entries := configMaps(t)
	for _, m := range []Media{{}, {Wire: Proto}, {Wire: Proto, Shape: Partial}, {Wire: YAML}} {
		written, err := v.AppendWritten([]byte("before"), m, entries[0])
		if err != nil {
			t.Fatal(err)
		}
		if m == (Media{Wire: Proto}) && entries[0].Holds(v.proto) {
			t.Error("the encoding was kept")
		}
		read, err := v.AppendEntry([]byte("before"), m, entries[0])
		if err != nil || !bytes.Equal(read, written) {
			t.Errorf("%v: %q and %q, %v", m, read, written, err)
		}
	}
}

// TestProtoFrames reads watch frames as a client does: length, WatchEvent, object.
func TestProtoFrames(t *testing.T) {
	v, entries := configMaps(t)
	f := &Frames{View: v, Media: Media{Wire: Proto}, New: func() runtime.Object { return &corev1.ConfigMap{} }}
	var out []byte
	events := []store.Event{{Type: watch.Added, Entry: entries[0], Revision: 1}, {Type: watch.Bookmark, Revision: 5, InitialEventsEnd: true}}
	for i := range events {
		var err error
		if out, err = f.Append(out, &events[i]); err != nil {
			t.Fatal(err)
		}
	}
	codecs := serializer.NewCodecFactory(scheme.New())
	for _, want := range []string{"ADDED a 1", "BOOKMARK  5"} {
		n := binary.BigEndian.Uint32(out)
		var ev metav1.WatchEvent
		if err := ev.Unmarshal(out[4 : 4+n]); err != nil {
			t.Fatal(err)
		}
		out = out[4+n:]
		o, _, err := codecs.UniversalDeserializer().Decode(ev.Object.Raw, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := o.(*corev1.ConfigMap)
		if got := ev.Type + " " + m.Name + " " + m.ResourceVersion; got != want {
			t.Errorf("frame %q, want %q", got, want)
		}
	}
	if len(out) != 0 {
		t.Errorf("%d bytes too many", len(out))
	}
}

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]Media{
		"":                                    {},
		"*/*":                                 {},
		"application/json, */*":               {},
		"application/vnd.kubernetes.protobuf": {Wire: Proto},
		"application/vnd.kubernetes.protobuf,application/json": {Wire: Proto},
		"application/cbor,application/json":                    {},
		"application/yaml":                                     {Wire: YAML},
		"text/html, application/xhtml+xml, */*;q=0.8":          {},
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json": {Shape: Table, Version: "v1", Objects: metav1.IncludeMetadata},
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json":                {Wire: Proto, Shape: Partial, Version: "v1"},
		"application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1":    {Shape: Table, Version: "v1", Objects: metav1.IncludeMetadata},
		"application/json;as=Table;v=v2;g=meta.k8s.io,application/json;as=Other;v=v1;g=meta.k8s.io,application/json":      {},
		"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/yaml":                              {Wire: YAML},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		got, err := Negotiate(r, Objects)
		if err != nil || got != want {
			t.Errorf("%q: %+v %v, want %+v", accept, got, err, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", "image/png")
	if _, err := Negotiate(r, Plain); StatusOf(err).Code != http.StatusNotAcceptable {
		t.Error(err)
	}
}

// FuzzDecode: no body makes the decoders panic, and what they take they can give back.
func FuzzDecode(f *testing.F) {
	v, entries := configMaps(f)
	for i, m := range []Media{{}, {Wire: YAML}, {Wire: Proto}} {
		b, err := v.AppendEntry(nil, m, entries[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Add(uint8(0), []byte(`{"metadata":{"name":"a","name":"b"},"data":null,"x":[1,{}]}`))
	f.Add(uint8(2), []byte("k8s\x00\x0a\x00"))
	f.Fuzz(func(t *testing.T, wire uint8, body []byte) {
		m := &corev1.ConfigMap{}
		if _, err := Decode(Wire(wire%3), body, m, v.GVK, true); err != nil {
			if c := StatusOf(err).Code; c != http.StatusBadRequest {
				t.Errorf("status %d: %v", c, err)
			}
			return
		}
		if !m.GroupVersionKind().Empty() {
			t.Error("the TypeMeta was left")
		}
		if _, err := json.Marshal(m); err != nil {
			t.Error(err)
		}
	})
}

// TestStoreStatus shows what clients see when the store cannot serve.
func TestStoreStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   int32
		reason metav1.StatusReason
		again  int32 // Retry-After
	}{
		{fmt.Errorf("writing: %w", store.ErrTooLarge), 413, metav1.StatusReasonRequestEntityTooLarge, 0},
		{fmt.Errorf("writing: %w", store.ErrFull), 507, "InsufficientStorage", 0},
		{fmt.Errorf("writing: %w", store.ErrDown), 503, metav1.StatusReasonServiceUnavailable, 1},
		{fmt.Errorf("x: %w", store.ErrRemoved), 404, metav1.StatusReasonNotFound, 0},
		{store.ErrClosed, 503, metav1.StatusReasonServiceUnavailable, 0},
		{fmt.Errorf("x: %w", &store.UnreadableError{Path: "/registry/pods/a/b", Cause: io.ErrUnexpectedEOF}), 500, metav1.StatusReasonStoreReadError, 0},
	} {
		st := StatusOf(c.err)
		again := int32(0)
		if st.Details != nil {
			again = st.Details.RetryAfterSeconds
		}
		if st.Code != c.code || st.Reason != c.reason || again != c.again {
			t.Errorf("%v: %+v", c.err, st)
		}
	}
}

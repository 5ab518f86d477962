package envelope

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

func sample() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", Labels: map[string]string{"x": "y", "z": "w"}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

var podKind = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

// TestSameBytes compares with what the published serializer writes and reads.
func TestSameBytes(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	published := protobuf.NewSerializer(scheme, scheme)
	want := sample()
	want.SetGroupVersionKind(podKind)
	var buf bytes.Buffer
	if err := published.Encode(want, &buf); err != nil {
		t.Fatal(err)
	}
	c := NewCodec(podKind)
	got, err := c.Encode(nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, buf.Bytes()) {
		t.Fatalf("got\n%q\nwant\n%q", got, buf.Bytes())
	}
	obj, _, err := published.Decode(got, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	if d := cmp.Diff(obj, sample()); d != "" {
		t.Fatal(d)
	}
	var back corev1.Pod
	if err := c.Decode(got, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&back, sample()); d != "" {
		t.Fatal(d)
	}
}

func TestJSON(t *testing.T) {
	c := NewCodec(podKind)
	var p corev1.Pod
	if err := c.Decode([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}`), &p); err != nil || p.Name != "b" || p.Kind != "" {
		t.Fatal(p, err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "b"}}}
	data, err := c.Encode(nil, u)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}`; string(bytes.TrimSpace(data)) != want {
		t.Fatalf("%s", data)
	}
	for _, bad := range []string{"", "hello", "k8s\x00\xff", `{"apiVersion":"v1","kind":"Node"}`, `{"apiVersion":"v2","kind":"Pod"}`} {
		if err := c.Decode([]byte(bad), &corev1.Pod{}); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := NewCodec(podKind)
	good, err := c.Encode(nil, sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p corev1.Pod
		if c.Decode(data, &p) != nil {
			return
		}
		again, err := c.Encode(nil, &p)
		if err != nil {
			return // content that JSON may hold and protobuf may not
		}
		var q corev1.Pod
		if err := c.Decode(again, &q); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	c, p := NewCodec(podKind), sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Encode(nil, p); err != nil {
			b.Fatal(err)
		}
	}
}

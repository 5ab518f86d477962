package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"hyperkube/internal/bounds"
	"hyperkube/internal/document"
)

// MaxBody is how long a request's body may be.
const MaxBody = bounds.Body

// Bodies lends buffers for request bodies; nothing decoded keeps a reference
// into one. The zero value is ready.
type Bodies struct{ pool sync.Pool }

// Read takes in the whole body. Give the buffer back with Put.
func (b *Bodies) Read(r *http.Request) (*bytes.Buffer, error) {
	buf, ok := b.pool.Get().(*bytes.Buffer)
	if !ok {
		buf = &bytes.Buffer{}
	}
	buf.Reset()
	if r.Body == nil {
		return buf, nil
	}
	if r.ContentLength > MaxBody {
		b.Put(buf)
		return nil, tooLarge()
	}
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, MaxBody+1))
	switch {
	case n > MaxBody:
		err = tooLarge()
	case err != nil:
		err = apierrors.NewBadRequest("reading the body: " + err.Error())
	}
	if err != nil {
		b.Put(buf)
		return nil, err
	}
	return buf, nil
}

// Put takes a buffer back; large ones are left to the collector.
func (b *Bodies) Put(buf *bytes.Buffer) {
	if buf != nil && buf.Cap() <= 256<<10 {
		b.pool.Put(buf)
	}
}

func tooLarge() error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxBody))
}

// Decode reads data into obj, which must be of kind want, and leaves obj's
// TypeMeta empty. Unknown and duplicate fields are returned as complaints when
// strict is asked for; protobuf has none.
func Decode(w Wire, data []byte, obj runtime.Object, want schema.GroupVersionKind, strict bool) (complaints []error, err error) {
	if len(data) == 0 {
		return nil, unrecognized(want, errors.New("empty body"))
	}
	var got schema.GroupVersionKind
	if w == Proto {
		got, err = decodeProto(data, obj)
	} else {
		complaints, err = decodeText(w, data, obj, strict)
		got = obj.GetObjectKind().GroupVersionKind()
	}
	if len(complaints) > bounds.Errors {
		more := fmt.Errorf("and %d more", len(complaints)-bounds.Errors)
		complaints = append(complaints[:bounds.Errors:bounds.Errors], more)
	}
	if err != nil {
		if got.Kind == "" {
			return nil, unrecognized(want, err)
		}
		return nil, Mismatch(got, want, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return complaints, checkKind(got, want)
}

func decodeText(w Wire, data []byte, obj any, strict bool) (complaints []error, err error) {
	if w == YAML {
		j, err := ToJSON(data)
		if err != nil {
			return nil, err
		}
		if strict {
			if _, dup := yaml.YAMLToJSONStrict(data); dup != nil {
				complaints = append(complaints, dup)
			}
		}
		data = j
	}
	if err := Refusal(document.CheckJSON(data, reflect.TypeOf(obj).Elem())); err != nil {
		return nil, err
	}
	if !strict {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(data, obj)
	}
	more, err := kjson.UnmarshalStrict(data, obj)
	return append(complaints, more...), err
}

func decodeProto(data []byte, obj any) (schema.GroupVersionKind, error) {
	var gvk schema.GroupVersionKind
	if len(data) < 4 || string(data[:4]) != "k8s\x00" {
		return gvk, errors.New("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
	}
	var u runtime.Unknown
	if err := u.Unmarshal(data[4:]); err != nil {
		return gvk, err
	}
	gvk = u.GroupVersionKind()
	m, ok := obj.(interface {
		Reset()
		Unmarshal([]byte) error
	})
	if !ok {
		return gvk, unsupportedMedia("application/json, application/yaml")
	}
	if err := Refusal(document.CheckProto(u.Raw, reflect.TypeOf(obj).Elem())); err != nil {
		return gvk, err
	}
	m.Reset()
	return gvk, m.Unmarshal(u.Raw)
}

// checkKind lets a body without kind and apiVersion pass as what was asked for.
func checkKind(got, want schema.GroupVersionKind) error {
	if got.Kind == "" && got.Version == "" {
		return nil
	}
	if got.Version != "" && got.GroupVersion() != want.GroupVersion() {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)",
			got.GroupVersion(), want.GroupVersion()))
	}
	if got.Kind != "" && got.Kind != want.Kind {
		return Mismatch(got, want, errors.New("the kind in the data does not match the kind of the resource"))
	}
	return nil
}

// Mismatch is the 400 of a body that is no object of the wanted kind.
func Mismatch(got, want schema.GroupVersionKind, err error) error {
	if got.Kind == "" {
		got = want
	}
	if apierrors.ReasonForError(err) != "" {
		return err
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", got.Kind, got.Version, want.Kind, err))
}

func unrecognized(want schema.GroupVersionKind, err error) error {
	if apierrors.ReasonForError(err) != "" {
		return err
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v", want.Kind, err))
}

// DecodeOptions reads request options (DeleteOptions), which clients send under
// any group-version.
func DecodeOptions(w Wire, data []byte, obj runtime.Object, kind string) error {
	want := schema.GroupVersionKind{Version: "v1", Kind: kind}
	var got schema.GroupVersionKind
	var err error
	if w == Proto {
		got, err = decodeProto(data, obj)
	} else {
		_, err = decodeText(w, data, obj, false)
		got = obj.GetObjectKind().GroupVersionKind()
	}
	if err != nil {
		return unrecognized(want, err)
	}
	if got.Kind != "" && got.Kind != kind {
		return Mismatch(got, want, errors.New("the kind in the data is another"))
	}
	return nil
}

// ToJSON turns YAML (of which JSON is a part) into JSON.
func ToJSON(y []byte) ([]byte, error) {
	j, err := document.FromYAML(y)
	if err := Refusal(err); err != nil {
		return nil, err
	}
	return j, nil
}

// CheckPatch refuses a patch whose own size, depth or numbers no object of obj's type may
// have. Merge, strategic merge and apply patches are shaped like what they patch. What
// comes of a JSON patch is checked when it is decoded.
func CheckPatch(body []byte, obj any) error {
	return Refusal(document.CheckJSON(body, reflect.TypeOf(obj).Elem()))
}

// CheckApply is CheckPatch for an apply configuration, which may be YAML.
func CheckApply(body []byte, obj any) error {
	if json.Valid(body) {
		return CheckPatch(body, obj)
	}
	j, err := ToJSON(body)
	if err != nil {
		return err
	}
	return CheckPatch(j, obj)
}

// Refusal is the answer to what document found: 413 for what grows, 400 for what is odd.
func Refusal(err error) error {
	var excess *document.Excess
	switch {
	case err == nil:
		return nil
	case errors.As(err, &excess):
		return apierrors.NewRequestEntityTooLargeError(err.Error())
	}
	var malformed *document.Malformed
	if errors.As(err, &malformed) {
		return apierrors.NewBadRequest(err.Error())
	}
	return apierrors.NewBadRequest("error decoding YAML: " + err.Error())
}

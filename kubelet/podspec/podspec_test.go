package podspec

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"hyperkube/api/core"
)

type key struct{ typ, field string }

// placed is the list by field. A field that is placed twice fails the test.
func placed(t *testing.T) map[key]Answer {
	t.Helper()
	out := map[key]Answer{}
	for _, r := range Rows() {
		for f := range strings.FieldsSeq(r.Fields) {
			k := key{r.Type, f}
			if _, twice := out[k]; twice {
				t.Errorf("%s.%s is placed twice", r.Type, f)
			}
			out[k] = r.Answer
		}
		if r.Note == "" && r.Answer != Served {
			t.Errorf("%s: %s is %s without a word", r.Type, r.Fields, r.Answer)
		}
	}
	return out
}

// published tells whether a type is one of the API's own and is walked.
func published(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && strings.HasSuffix(t.PkgPath(), "k8s.io/api/core/v1")
}

func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// TestEveryFieldIsPlaced walks the published types from PodSpec down, except below what is refused or dropped.
func TestEveryFieldIsPlaced(t *testing.T) {
	list, used, seen := placed(t), map[key]bool{}, map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		typ = elem(typ)
		if !published(typ) || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" { // inlined
				walk(f.Type)
				continue
			}
			k := key{typ.Name(), name}
			answer, ok := list[k]
			if !ok {
				t.Errorf("%s.%s is not placed: say in Rows what becomes of it", typ.Name(), name)
			}
			used[k] = true
			if answer != Refused && answer != Dropped {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[v1.PodSpec]())
	for k := range list {
		if !used[k] {
			t.Errorf("%s.%s is placed but not there", k.typ, k.field)
		}
	}
}

// fill sets every field of a value, lists and maps to one entry.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth)
	case reflect.Struct:
		if depth > 20 {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	}
}

// gone lists the fields that are empty in a value that was filled, by type and field.
func gone(v reflect.Value, out map[key]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			gone(v.Elem(), out)
		}
	case reflect.Slice:
		for i := range v.Len() {
			gone(v.Index(i), out)
		}
	case reflect.Struct:
		if !published(v.Type()) {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch v.Field(i).Kind() {
			case reflect.Pointer, reflect.Slice:
				if v.Field(i).IsNil() {
					out[key{v.Type().Name(), name}] = true
				}
			}
			gone(v.Field(i), out)
		}
	}
}

// volumeKinds is one volume for each source, as a volume has one.
func filled() *v1.PodSpec {
	var s v1.PodSpec
	fill(reflect.ValueOf(&s).Elem(), 0)
	all := s.Volumes[0]
	s.Volumes = nil
	for i := range reflect.TypeFor[v1.VolumeSource]().NumField() {
		one := v1.Volume{Name: "v"}
		src := reflect.ValueOf(all.VolumeSource).Field(i)
		reflect.ValueOf(&one.VolumeSource).Elem().Field(i).Set(src)
		s.Volumes = append(s.Volumes, *one.DeepCopy())
	}
	return &s
}

// TestDroppedIsDropped: with everything set, exactly what the list calls dropped is taken away; what an old spec has
// already is kept.
func TestDroppedIsDropped(t *testing.T) {
	s := filled()
	before, after := map[key]bool{}, map[key]bool{}
	gone(reflect.ValueOf(s), before)
	kept := s.DeepCopy()
	core.DropGated(s, nil)
	gone(reflect.ValueOf(s), after)
	for k := range before {
		delete(after, k) // the other sources of each volume
	}
	delete(after, key{"PodCertificateProjection", "user"}) // below what is refused
	delete(after, key{"ClusterTrustBundleProjection", "user"})
	want := map[key]bool{}
	for k, a := range placed(t) {
		if a == Dropped {
			want[k] = true
		}
	}
	if d := cmp.Diff(want, after, cmp.AllowUnexported(key{})); d != "" {
		t.Errorf("dropped (-listed +taken away):\n%s", d)
	}
	again := kept.DeepCopy()
	core.DropGated(again, kept)
	if d := cmp.Diff(kept, again); d != "" {
		t.Errorf("what was there already is dropped:\n%s", d)
	}
}

// TestDocument keeps docs/podspec.md as the list has it; UPDATE=1 writes it.
func TestDocument(t *testing.T) {
	const path = "../../docs/podspec.md"
	got := document()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(have), got); d != "" {
		t.Errorf("run UPDATE=1 go test ./kubelet/podspec:\n%s", d)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("# What becomes of every field of a pod\n\nWritten from `kubelet/podspec`, whose test walks the published types of Kubernetes 1.37: no field is missing here.\n\n" +
		"- **served**: by the kubelet\n- **elsewhere**: by the API server, its admission plugins, controllers or the scheduler\n" +
		"- **refused**: the pod or container does not run, and an event (named here) says why\n" +
		"- **dropped**: by the API server when a pod or workload is written, since the feature gate (named here) is off in 1.37\n" +
		"- **no effect**: as published\n\n| type | fields | | |\n|---|---|---|---|\n")
	rows := Rows()
	slices.SortStableFunc(rows, func(a, b Row) int { return strings.Compare(order(a.Type), order(b.Type)) })
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Type, "`"+strings.Join(strings.Fields(r.Fields), "` `")+"`", r.Answer, r.Note)
	}
	return b.String()
}

// order puts what readers look for first at the top.
func order(typ string) string {
	if at := slices.Index([]string{"PodSpec", "Container", "EphemeralContainerCommon", "EphemeralContainer", "SecurityContext", "PodSecurityContext", "Volume", "VolumeSource"}, typ); at >= 0 {
		return fmt.Sprint(at)
	}
	return typ
}

package events

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Whatever an event says in one form it says in the other one.
func TestNothingIsLostBetweenTheForms(t *testing.T) {
	var e corev1.Event
	n := 0
	fill(t, reflect.ValueOf(&e).Elem(), &n)
	e.TypeMeta = metav1.TypeMeta{} // each form has its own
	e.ManagedFields = nil
	newer := FromCore(&e)
	for v, i := reflect.ValueOf(*newer), 0; i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "TypeMeta" {
			t.Errorf("%s is empty in the newer form", name)
		}
	}
	if diff := cmp.Diff(&e, ToCore(newer)); diff != "" {
		t.Errorf("there and back (-was +is):\n%s", diff)
	}
	e.Series = nil
	if diff := cmp.Diff(&e, ToCore(FromCore(&e))); diff != "" {
		t.Errorf("without a series (-was +is):\n%s", diff)
	}
}

// fill puts a value of its own into every field.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch x := v.Addr().Interface().(type) {
	case *metav1.Time:
		*x = metav1.NewTime(time.Unix(int64(*n), 0))
		return
	case *metav1.MicroTime:
		*x = metav1.NewMicroTime(time.Unix(int64(*n), 1000))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(string(rune('a' + *n%26)))
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if v.Type().Elem().Kind() != reflect.Uint8 {
			fill(t, v.Index(0), n)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
	default:
		t.Fatalf("no value for a %s", v.Type())
	}
}

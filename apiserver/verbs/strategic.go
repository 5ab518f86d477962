package verbs

import (
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
)

// strategic merges the patch by the patch strategies of the type's fields. Only
// the top-level fields that the patch names (mostly status or metadata) are
// turned into maps and back; the others are copied as they are.
func (p *patcher) strategic(live, out runtime.Object) ([]error, error) {
	var patch map[string]any
	complaints, err := kjson.UnmarshalStrict(p.body, &patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	part, keep := partsOf(live, p.blank(), patch)
	before, err := runtime.DefaultUnstructuredConverter.ToUnstructured(part)
	if err != nil {
		return nil, err
	}
	before["kind"], before["apiVersion"] = p.want.Kind, p.want.GroupVersion().String()
	if err := checkMerge(before, patch, out); err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergeMapPatch(before, patch, out)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(after, out, true)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		complaints, err = append(complaints, strict.Errors()...), nil
	}
	if err != nil {
		return nil, unreadable(err)
	}
	got := out.GetObjectKind().GroupVersionKind()
	out.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	if got != p.want {
		return nil, apierrors.NewBadRequest("a patch may not change kind or apiVersion")
	}
	if len(keep) > 0 {
		from, to := reflect.ValueOf(live.DeepCopyObject()).Elem(), reflect.ValueOf(out).Elem()
		for _, i := range keep {
			to.Field(i).Set(from.Field(i))
		}
	}
	return complaints, nil
}

// partsOf fills blank with the fields of live that the patch names and lists the
// others. A patch with a directive at its top sees all of live.
func partsOf(live, blank runtime.Object, patch map[string]any) (part runtime.Object, keep []int) {
	from, to := reflect.ValueOf(live), reflect.ValueOf(blank)
	if from.Kind() != reflect.Pointer || from.Elem().Kind() != reflect.Struct || from.Type() != to.Type() {
		return live, nil
	}
	for k := range patch {
		if strings.HasPrefix(k, "$") {
			return live, nil
		}
	}
	from, to = from.Elem(), to.Elem()
	for i := range from.NumField() {
		name, _, _ := strings.Cut(from.Type().Field(i).Tag.Get("json"), ",")
		if _, named := patch[name]; named || name == "" { // TypeMeta has no name
			to.Field(i).Set(from.Field(i))
		} else {
			keep = append(keep, i)
		}
	}
	return blank, keep
}

package kinds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"sigs.k8s.io/yaml"
)

func tree(t *testing.T, d *datadriven.TestData, text []byte) any {
	text, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		d.Fatalf(t, "%s: %v", text, err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		d.Fatalf(t, "%v", err)
	}
	return v
}

// edit is a copy of v with the row's changes.
func edit(t *testing.T, d *datadriven.TestData, v any, row string) any {
	text, err := json.Marshal(v)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	v = tree(t, d, text)
	changes, ok := tree(t, d, []byte(row)).(map[string]any)
	if !ok {
		d.Fatalf(t, "%q is no mapping", row)
	}
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		if v, err = set(v, strings.Split(path, "."), changes[path]); err != nil {
			d.Fatalf(t, "%s: %v", path, err)
		}
	}
	return v
}

func set(v any, path []string, to any) (any, error) {
	if len(path) == 0 {
		return to, nil
	}
	list, isList := v.([]any)
	if n, many := strings.CutSuffix(path[0], "*"); (path[0] == "+" || many) && (isList || v == nil) && len(path) == 1 {
		times, err := strconv.Atoi(n)
		if !many {
			times, err = 1, nil
		}
		return append(list, slices.Repeat([]any{to}, times)...), err
	}
	if isList {
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(list) {
			return nil, fmt.Errorf("no item %s among %d", path[0], len(list))
		}
		if len(path) == 1 && to == nil {
			return slices.Delete(list, i, i+1), nil
		}
		list[i], err = set(list[i], path[1:], to)
		return list, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		if v != nil {
			return nil, fmt.Errorf("%v has no field %s", v, path[0])
		}
		m = map[string]any{}
	}
	if len(path) == 1 && to == nil {
		delete(m, path[0])
		return m, nil
	}
	if name, n, long := strings.Cut(path[0], "*"); long && len(path) == 1 {
		times, err := strconv.Atoi(n)
		m[name] = strings.Repeat(fmt.Sprint(to), times)
		return m, err
	}
	var err error
	m[path[0]], err = set(m[path[0]], path[1:], to)
	return m, err
}

// leaves are the object's values by path; an empty mapping or list is one too.
func leaves(t *testing.T, d *datadriven.TestData, obj any) map[string]string {
	text, err := json.Marshal(obj)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	out := map[string]string{}
	collect(out, "", tree(t, d, text))
	return out
}

func collect(out map[string]string, path string, v any) {
	switch at := strings.TrimPrefix(path, "."); v := v.(type) {
	case map[string]any:
		for k, item := range v {
			collect(out, path+"."+k, item)
		}
		if len(v) == 0 {
			out[at] = "{}"
		}
	case []any:
		for i, item := range v {
			collect(out, fmt.Sprintf("%s.%d", path, i), item)
		}
	default:
		text, _ := json.Marshal(v)
		out[at] = string(text)
	}
}

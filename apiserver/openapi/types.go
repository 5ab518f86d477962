package openapi

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/api/structure"
)

// shape is what differs between OpenAPI 2 and 3.
type shape int

const (
	two   shape = 2
	three shape = 3
)

// types collects the schemas of Go types, each once.
type types struct {
	shape   shape
	lists   *structure.Table
	schemas object
	queue   []reflect.Type
	names   map[reflect.Type]string
	gvks    map[reflect.Type][]schema.GroupVersionKind
}

func newTypes(s shape) *types {
	return &types{
		shape: s, lists: structure.Load(), schemas: object{},
		names: map[reflect.Type]string{}, gvks: map[reflect.Type][]schema.GroupVersionKind{},
	}
}

// served notes that t is what gvk means, and that it is wanted.
func (b *types) served(v any, gvk schema.GroupVersionKind) object {
	t := reflect.TypeOf(v).Elem()
	for _, known := range b.gvks[t] {
		if known == gvk {
			return b.ref(t)
		}
	}
	b.gvks[t] = append(b.gvks[t], gvk)
	return b.ref(t)
}

// done builds what was asked for and all it refers to.
func (b *types) done() object {
	for len(b.queue) > 0 {
		t := b.queue[0]
		b.queue = b.queue[1:]
		s := b.define(t)
		if gvks := b.gvks[t]; gvks != nil {
			var list []any
			for _, gvk := range gvks {
				list = append(list, extension(gvk))
			}
			s["x-kubernetes-group-version-kind"] = list
		}
		b.schemas[b.names[t]] = s
	}
	return b.schemas
}

func extension(gvk schema.GroupVersionKind) object {
	return object{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}

// ref points at the schema of a struct and makes sure that it will be there.
func (b *types) ref(t reflect.Type) object {
	name, known := b.names[t]
	if !known {
		name = modelName(t)
		b.names[t] = name
		b.queue = append(b.queue, t)
	}
	if b.shape == two {
		return object{"$ref": "#/definitions/" + name}
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// modelName is the name the type declares, or one made by the same rule.
func modelName(t reflect.Type) string {
	if m, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return m.OpenAPIModelName()
	}
	host, path, _ := strings.Cut(t.PkgPath(), "/")
	parts := strings.Split(host, ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ".") + "." + strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

// define builds the schema of a struct.
func (b *types) define(t reflect.Type) object {
	doc := docOf(t)
	if s, special := b.special(t); special {
		if doc[""] != "" {
			s["description"] = doc[""]
		}
		return s
	}
	s := object{"type": "object"}
	if doc[""] != "" {
		s["description"] = doc[""]
	}
	model := b.names[t]
	if b.lists.Type(model).Atomic {
		s["x-kubernetes-map-type"] = "atomic"
	}
	properties, required := object{}, []string{}
	b.fields(t, model, doc, properties, &required)
	if len(properties) > 0 {
		s["properties"] = properties
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// special are types that say themselves what they look like on the wire.
func (b *types) special(t reflect.Type) (object, bool) {
	v, ok := reflect.Zero(t).Interface().(interface {
		OpenAPISchemaType() []string
		OpenAPISchemaFormat() string
	})
	if !ok {
		return nil, false
	}
	s := object{}
	if f := v.OpenAPISchemaFormat(); f != "" {
		s["format"] = f
	}
	if one, ok := v.(interface{ OpenAPIV3OneOfTypes() []string }); ok && b.shape == three {
		var list []any
		for _, name := range one.OpenAPIV3OneOfTypes() {
			list = append(list, object{"type": name})
		}
		s["oneOf"] = list
		return s, true
	}
	if names := v.OpenAPISchemaType(); len(names) > 0 {
		s["type"] = names[0]
	}
	return s, true
}

func docOf(t reflect.Type) map[string]string {
	if d, ok := reflect.Zero(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return d.SwaggerDoc()
	}
	return nil
}

// fields adds the JSON fields of t, inlined structs included.
func (b *types) fields(t reflect.Type, model string, doc map[string]string, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if name == "" {
			if inner := deref(f.Type); f.Anonymous && inner.Kind() == reflect.Struct {
				// An inlined struct's lists are known by its own name and by its parent's.
				b.fields(inner, model, merged(docOf(inner), doc), properties, required)
			}
			continue
		}
		properties[name] = b.field(f, model, name, doc[name])
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			*required = append(*required, name)
		}
	}
}

func merged(inner, outer map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range inner {
		out[k] = v
	}
	for k, v := range outer {
		out[k] = v
	}
	return out
}

// field builds the schema of one field with its merge rules.
func (b *types) field(f reflect.StructField, model, name, description string) object {
	s := b.value(deref(f.Type))
	_, isRef := s["$ref"]
	extra := object{}
	if description != "" {
		extra["description"] = description
	}
	if p := f.Tag.Get("patchStrategy"); p != "" {
		extra["x-kubernetes-patch-strategy"] = p
	}
	if k := f.Tag.Get("patchMergeKey"); k != "" {
		extra["x-kubernetes-patch-merge-key"] = k
	}
	r := b.lists.Field(model, name)
	switch {
	case r.Keys != nil:
		extra["x-kubernetes-list-type"], extra["x-kubernetes-list-map-keys"] = "map", r.Keys
	case r.Set:
		extra["x-kubernetes-list-type"] = "set"
	case s["type"] == "array":
		extra["x-kubernetes-list-type"] = "atomic"
	case r.Atomic:
		extra["x-kubernetes-map-type"] = "atomic"
	case r.Granular:
		extra["x-kubernetes-map-type"] = "granular"
	}
	if isRef && b.shape == three && len(extra) > 0 {
		// OpenAPI 3.0 ignores whatever stands beside a $ref.
		s = object{"allOf": []any{s}}
	}
	for k, v := range extra {
		s[k] = v
	}
	return s
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// value builds the schema of a type where it is used.
func (b *types) value(t reflect.Type) object {
	t = deref(t)
	switch t.Kind() {
	case reflect.Struct:
		return b.ref(t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "format": "byte"}
		}
		return object{"type": "array", "items": b.value(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": b.value(t.Elem())}
	}
	return scalar(t.Kind())
}

func scalar(k reflect.Kind) object {
	switch k {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int32, reflect.Int16, reflect.Int8, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return object{"type": "integer", "format": "int32"}
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number", "format": "double"}
	case reflect.String:
		return object{"type": "string"}
	}
	return object{"type": "object"}
}

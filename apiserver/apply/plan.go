package apply

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"hyperkube/api/structure"
)

// form says how values of a Go type appear as fields.
type form uint8

const (
	unknown    form = iota // only the library knows
	scalar                 // one leaf; compared as Go value
	moment                 // metav1.Time: null when zero, compared by seconds
	micro                  // metav1.MicroTime
	quantity               // compared in canonical form
	intOrText              // intstr.IntOrString
	span                   // metav1.Duration
	octets                 // []byte
	structure_             // fields
	dict                   // map with string keys
	listed                 // list without identity of elements: only ever compared
	keyed                  // list whose elements are known by some of their fields
	setOf                  // list whose elements are known by their value
	whole                  // compared as inner says, but one leaf
)

// plan is a compiled type: what the walker does with its values.
type plan struct {
	form   form
	fields []fieldPlan // structure_, by JSON name
	inner  *plan       // element of dict, listed, keyed, setOf; the real form of whole
	keys   []keyPlan   // keyed, by name
}

type fieldPlan struct {
	name      string
	key       string // "f:" + name
	index     []int
	omitEmpty bool
	omitZero  func(reflect.Value) bool
	plan      *plan
	json      reflect.Kind // kind of the Go field, for the emptiness test
}

// keyPlan is a field that identifies an element.
type keyPlan struct {
	name  string
	index []int
	kind  reflect.Kind
}

// compiler builds plans. Types that refer to themselves share one plan.
type compiler struct {
	lists *structure.Table
	plans map[reflect.Type]*plan
}

func newCompiler() *compiler {
	return &compiler{lists: structure.Load(), plans: map[reflect.Type]*plan{}}
}

// compile gives the plan of t, which is never nil.
func (c *compiler) compile(t reflect.Type) *plan {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if p, ok := c.plans[t]; ok {
		return p
	}
	p := &plan{}
	c.plans[t] = p
	c.fill(p, t)
	return p
}

func (c *compiler) fill(p *plan, t reflect.Type) {
	switch t {
	case reflect.TypeFor[metav1.Time]():
		p.form = moment
		return
	case reflect.TypeFor[metav1.MicroTime]():
		p.form = micro
		return
	case reflect.TypeFor[resource.Quantity]():
		p.form = quantity
		return
	case reflect.TypeFor[intstr.IntOrString]():
		p.form = intOrText
		return
	case reflect.TypeFor[metav1.Duration]():
		p.form = span
		return
	}
	if marshaler := reflect.TypeFor[json.Marshaler](); t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) {
		return
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint8, reflect.Float64, reflect.Float32:
		p.form = scalar
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			p.form = octets
			return
		}
		p.form, p.inner = listed, c.element(t.Elem())
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			p.form, p.inner = dict, c.element(t.Elem())
		}
	case reflect.Struct:
		p.form = structure_
		model := ""
		if m, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
			model = m.OpenAPIModelName()
		}
		c.fields(p, t, model, nil)
		slices.SortFunc(p.fields, func(a, b fieldPlan) int { return strings.Compare(a.name, b.name) })
	}
}

// fields compiles the JSON fields of a struct, inlined ones included.
func (c *compiler) fields(p *plan, t reflect.Type, model string, path []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		at := append(slices.Clone(path), i)
		if name == "" {
			switch {
			case f.Anonymous && f.Type.Kind() == reflect.Struct:
				c.fields(p, f.Type, model, at)
				continue
			case f.Anonymous:
				p.form = unknown // an inlined pointer
				return
			}
			name = f.Name
		}
		fp := fieldPlan{
			name: name, key: "f:" + name, index: at, json: f.Type.Kind(),
			omitEmpty: hasOption(options, "omitempty"), plan: c.related(f.Type, c.lists.Field(model, name)),
		}
		if hasOption(options, "omitzero") {
			fp.omitZero = omitZero(f.Type)
		}
		p.fields = append(p.fields, fp)
	}
}

// omitZero avoids the library's boxing of the commonest type.
func omitZero(t reflect.Type) func(reflect.Value) bool {
	zero := value.OmitZeroFunc(t)
	if t != reflect.TypeFor[metav1.Time]() {
		return zero
	}
	return func(v reflect.Value) bool {
		if !v.CanAddr() {
			return zero(v)
		}
		return v.Addr().Interface().(*metav1.Time).IsZero()
	}
}

func hasOption(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// related is the plan of a field's type under the field's own rule.
func (c *compiler) related(t reflect.Type, r structure.Relation) *plan {
	base := c.compile(t)
	t = deref(t)
	switch {
	case r.Deduced:
		return &plan{}
	case r.Set:
		return &plan{form: setOf, inner: base.inner}
	case r.Keys != nil:
		return c.keyed(t, base, r.Keys)
	case r.Atomic:
		return &plan{form: whole, inner: base}
	case r.Granular:
		return base
	}
	return c.element(t)
}

// element is the plan of a type where nothing more is said about it.
func (c *compiler) element(t reflect.Type) *plan {
	base := c.compile(t)
	if t = deref(t); t.Kind() == reflect.Struct && c.atomicType(t) {
		return &plan{form: whole, inner: base}
	}
	return base
}

func (c *compiler) atomicType(t reflect.Type) bool {
	m, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string })
	return ok && c.lists.Type(m.OpenAPIModelName()).Atomic
}

func (c *compiler) keyed(t reflect.Type, base *plan, names []string) *plan {
	p := &plan{form: keyed, inner: base.inner}
	elem := c.compile(t.Elem())
	for _, name := range slices.Sorted(slices.Values(names)) {
		at := slices.IndexFunc(elem.fields, func(f fieldPlan) bool { return f.name == name })
		if at < 0 {
			return &plan{}
		}
		f := elem.fields[at]
		kind := t.Elem().FieldByIndex(f.index).Type
		p.keys = append(p.keys, keyPlan{name: name, index: f.index, kind: deref(kind).Kind()})
	}
	return p
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// root is the plan of an object without what no manager ever owns: its type,
// names, and what the server sets. without is the top-level field that this
// write cannot change ("" for none).
func (c *compiler) root(t reflect.Type, without string) *plan {
	p := *c.compile(t)
	p.fields = slices.Clone(p.fields)
	p.fields = slices.DeleteFunc(p.fields, func(f fieldPlan) bool {
		return f.name == "kind" || f.name == "apiVersion" || f.name == without
	})
	for i := range p.fields {
		if p.fields[i].name != "metadata" {
			continue
		}
		meta := *p.fields[i].plan
		meta.fields = slices.DeleteFunc(slices.Clone(meta.fields), func(f fieldPlan) bool { return unowned(f.name) })
		p.fields[i].plan = &meta
	}
	return &p
}

func unowned(name string) bool {
	switch name {
	case "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion":
		return true
	}
	return false
}

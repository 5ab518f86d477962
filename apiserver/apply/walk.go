package apply

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// walker compares two objects of one type and collects the paths that were set
// (added or modified) and removed. failed means that it met something it has no
// rule for and the result is worth nothing.
type walker struct {
	failed bool
	buf    []byte
}

// place is a value where it stands: absent is a field that is left out, which
// differs from one that is there and null.
type place struct {
	v       reflect.Value
	present bool
}

// deref follows pointers and says whether there is a value (not null) at the end.
func (p place) deref() (reflect.Value, bool) {
	if !p.present {
		return reflect.Value{}, false
	}
	v := p.v
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return reflect.Value{}, false
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Interface:
		return v, !v.IsNil()
	}
	return v, true
}

// object compares two whole objects.
func (w *walker) object(p *plan, live, obj reflect.Value) (added, removed []set) {
	return w.structs(p, live, obj)
}

// child compares what stands at key and appends what changed to the two sets.
func (w *walker) child(p *plan, key string, l, r place, added, removed []set) ([]set, []set) {
	if p.form == unknown {
		w.failed = true
		return added, removed
	}
	if p.form < structure_ || p.form == listed || p.form == whole || (w.empty(p, l) && w.empty(p, r)) {
		switch {
		case !l.present:
			added = append(added, set{key: key, member: true})
		case !r.present:
			removed = append(removed, set{key: key, member: true})
		case !w.equal(p, l, r):
			added = append(added, set{key: key, member: true})
		}
		return added, removed
	}
	a, d := w.below(p, l, r)
	if !l.present || len(a) > 0 {
		added = append(added, set{key: key, member: !l.present, below: a})
	}
	if !r.present || len(d) > 0 {
		removed = append(removed, set{key: key, member: !r.present, below: d})
	}
	return added, removed
}

func (w *walker) below(p *plan, l, r place) (added, removed []set) {
	lv, lok := l.deref()
	rv, rok := r.deref()
	if !lok {
		lv = reflect.Value{}
	}
	if !rok {
		rv = reflect.Value{}
	}
	switch p.form {
	case structure_:
		return w.structs(p, lv, rv)
	case dict:
		return w.dicts(p, lv, rv)
	default:
		return w.items(p, lv, rv)
	}
}

func (w *walker) structs(p *plan, l, r reflect.Value) (added, removed []set) {
	for i := range p.fields {
		f := &p.fields[i]
		lp, rp := f.in(l), f.in(r)
		if lp.present || rp.present {
			added, removed = w.child(f.plan, f.key, lp, rp, added, removed)
		}
	}
	return added, removed
}

// in finds the field in a struct (an invalid one has no fields).
func (f *fieldPlan) in(v reflect.Value) place {
	if !v.IsValid() {
		return place{}
	}
	for _, i := range f.index {
		v = v.Field(i)
	}
	if f.omitEmpty && f.isEmpty(v) {
		return place{}
	}
	if f.omitZero != nil && f.omitZero(v) {
		return place{}
	}
	return place{v, true}
}

// isEmpty is encoding/json's idea of empty.
func (f *fieldPlan) isEmpty(v reflect.Value) bool {
	switch f.json {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil()
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Bool:
		return !v.Bool()
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// empty says whether a container has nothing in it; absent and null are empty.
func (w *walker) empty(p *plan, at place) bool {
	v, ok := at.deref()
	if !ok {
		return true
	}
	if p.form != structure_ {
		return v.Len() == 0
	}
	for i := range p.fields {
		if p.fields[i].in(v).present {
			return false
		}
	}
	return true
}

func (w *walker) dicts(p *plan, l, r reflect.Value) (added, removed []set) {
	var scratch [16]string
	keys := scratch[:0]
	keys = appendKeys(keys, r)
	n := len(keys)
	for _, k := range appendKeys(nil, l) {
		if !slices.Contains(keys[:n], k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !plainText(k) {
			w.failed = true
			return nil, nil
		}
		added, removed = w.child(p.inner, "f:"+k, entry(l, k), entry(r, k), added, removed)
	}
	return added, removed
}

func appendKeys(keys []string, m reflect.Value) []string {
	if !m.IsValid() {
		return keys
	}
	switch typed := m.Interface().(type) {
	case map[string]string:
		for k := range typed {
			keys = append(keys, k)
		}
		return keys
	case corev1.ResourceList:
		for k := range typed {
			keys = append(keys, string(k))
		}
		return keys
	}
	for it := m.MapRange(); it.Next(); {
		keys = append(keys, it.Key().String())
	}
	return keys
}

func entry(m reflect.Value, key string) place {
	if !m.IsValid() {
		return place{}
	}
	v := m.MapIndex(reflect.ValueOf(key).Convert(m.Type().Key()))
	return place{v, v.IsValid()}
}

// item is a list element with the path element that names it.
type item struct {
	key string
	v   reflect.Value
}

// items compares keyed lists and sets, whose order does not matter.
func (w *walker) items(p *plan, l, r reflect.Value) (added, removed []set) {
	var scratchL, scratchR [8]item
	ls, rs := w.named(p, l, scratchL[:0]), w.named(p, r, scratchR[:0])
	if w.failed {
		return nil, nil
	}
	i, j := 0, 0
	for i < len(ls) || j < len(rs) {
		c := 0
		switch {
		case i == len(ls):
			c = 1
		case j == len(rs):
			c = -1
		default:
			c = compareKeys(ls[i].key, rs[j].key)
		}
		var lp, rp place
		key := ""
		if c <= 0 {
			lp, key = place{ls[i].v, true}, ls[i].key
			i++
		}
		if c >= 0 {
			rp, key = place{rs[j].v, true}, rs[j].key
			j++
		}
		added, removed = w.child(p.inner, key, lp, rp, added, removed)
	}
	return added, removed
}

// named gives the elements sorted by key. Two with one key are beyond this walker.
func (w *walker) named(p *plan, list reflect.Value, out []item) []item {
	if !list.IsValid() {
		return nil
	}
	for i := range list.Len() {
		v := list.Index(i)
		key, ok := w.name(p, v)
		if !ok {
			w.failed = true
			return nil
		}
		out = append(out, item{key, v})
	}
	slices.SortFunc(out, func(a, b item) int { return compareKeys(a.key, b.key) })
	for i := 1; i < len(out); i++ {
		if out[i].key == out[i-1].key {
			w.failed = true
		}
	}
	return out
}

func (w *walker) name(p *plan, v reflect.Value) (string, bool) {
	v, ok := place{v, true}.deref()
	if !ok {
		return "", false
	}
	if p.form == setOf {
		b, ok := appendScalar(append(w.buf[:0], 'v', ':'), v)
		w.buf = b
		return string(b), ok
	}
	b := append(w.buf[:0], 'k', ':', '{')
	for i := range p.keys {
		k := &p.keys[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(append(b, k.name...), '"', ':')
		f := v
		for _, at := range k.index {
			f = f.Field(at)
		}
		f, ok := place{f, true}.deref()
		if !ok || f.IsZero() {
			return "", false // the library knows defaults for keys that are left out
		}
		if b, ok = appendScalar(b, f); !ok {
			return "", false
		}
	}
	b = append(b, '}')
	w.buf = b
	return string(b), true
}

func appendScalar(b []byte, v reflect.Value) ([]byte, bool) {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if !plainText(s) || strings.ContainsAny(s, "<>&") {
			return b, false
		}
		b = append(b, '"')
		return append(append(b, s...), '"'), true
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10), true
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), true
	}
	return b, false
}

// plainText is text that JSON carries as it is.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

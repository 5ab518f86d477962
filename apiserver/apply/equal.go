package apply

import (
	"bytes"
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// equal compares what two present places would be on the wire.
func (w *walker) equal(p *plan, l, r place) bool {
	for p.form == whole {
		p = p.inner
	}
	lv, lok := l.deref()
	rv, rok := r.deref()
	if !lok || !rok {
		return lok == rok
	}
	switch p.form {
	case unknown:
		w.failed = true
		return false
	case scalar:
		return lv.Equal(rv)
	case moment:
		a, b := as[metav1.Time](lv), as[metav1.Time](rv)
		return a.IsZero() == b.IsZero() && (a.IsZero() || a.Unix() == b.Unix())
	case micro:
		a, b := as[metav1.MicroTime](lv), as[metav1.MicroTime](rv)
		return a.IsZero() == b.IsZero() && (a.IsZero() || a.UnixMicro() == b.UnixMicro())
	case quantity:
		return sameQuantity(as[resource.Quantity](lv), as[resource.Quantity](rv))
	case intOrText:
		a, b := as[intstr.IntOrString](lv), as[intstr.IntOrString](rv)
		if a.Type != b.Type {
			return false
		}
		return a.Type == intstr.Int && a.IntVal == b.IntVal || a.Type == intstr.String && a.StrVal == b.StrVal
	case span:
		return *as[metav1.Duration](lv) == *as[metav1.Duration](rv)
	case octets:
		return bytes.Equal(lv.Bytes(), rv.Bytes())
	case structure_:
		return w.equalFields(p, lv, rv)
	case dict:
		return w.equalDicts(p, lv, rv)
	default:
		return w.equalLists(p, lv, rv)
	}
}

func (w *walker) equalFields(p *plan, l, r reflect.Value) bool {
	for i := range p.fields {
		f := &p.fields[i]
		lp, rp := f.in(l), f.in(r)
		if lp.present != rp.present || (lp.present && !w.equal(f.plan, lp, rp)) {
			return false
		}
	}
	return true
}

func (w *walker) equalDicts(p *plan, l, r reflect.Value) bool {
	if l.Len() != r.Len() {
		return false
	}
	for it := l.MapRange(); it.Next(); {
		other := r.MapIndex(it.Key())
		if !other.IsValid() || !w.equal(p.inner, place{it.Value(), true}, place{other, true}) {
			return false
		}
	}
	return true
}

func (w *walker) equalLists(p *plan, l, r reflect.Value) bool {
	if l.Len() != r.Len() {
		return false
	}
	for i := range l.Len() {
		if !w.equal(p.inner, place{l.Index(i), true}, place{r.Index(i), true}) {
			return false
		}
	}
	return true
}

// as points at the value without copying it when it can be addressed.
func as[T any](v reflect.Value) *T {
	if v.CanAddr() {
		return v.Addr().Interface().(*T)
	}
	t := v.Interface().(T)
	return &t
}

// sameQuantity compares canonical forms. The objects are shared, and String
// caches its result in the quantity, so it works on copies.
func sameQuantity(a, b *resource.Quantity) bool {
	if *a == *b {
		return true
	}
	x, y := *a, *b
	return x.String() == y.String()
}

package document

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"hyperkube/internal/bounds"
)

// CheckProto checks a protobuf message that is to be decoded into a value of struct type t.
func CheckProto(data []byte, t reflect.Type) error {
	if plain(data) {
		return nil
	}
	w := &wire{fields: map[reflect.Type]map[protowire.Number]protoField{}}
	err := w.message(data, t, 0)
	if errors.Is(err, errSyntax) {
		return nil
	}
	return err
}

type wire struct {
	ledger
	fields map[reflect.Type]map[protowire.Number]protoField
}

// protoField is a field of a Go struct as its protobuf tag describes it.
type protoField struct {
	name string
	t    reflect.Type
	rep  bool
}

// each visits the fields of a message; value is what stands between the lengths for bytes,
// and the field as it stands otherwise.
func each(data []byte, visit func(num protowire.Number, bytes bool, value []byte) error) error {
	for len(data) > 0 {
		num, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errSyntax
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(num, kind, data); n < 0 {
			return errSyntax
		}
		value := data[:n]
		data = data[n:]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if err := visit(num, kind == protowire.BytesType, value); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) message(data []byte, t reflect.Type, depth int) error {
	if depth > bounds.Depth {
		return &Malformed{"", fmt.Sprintf("nested deeper than %d levels", bounds.Depth)}
	}
	fields := w.fieldsOf(t)
	return each(data, func(num protowire.Number, bytes bool, value []byte) error {
		f, known := fields[num]
		switch {
		case !known:
			return nil
		case !bytes:
			return w.charge(1, 16) // a packed or repeated number at worst
		}
		return w.within("."+f.name, func() error { return w.field(value, f, depth) })
	})
}

// within does something one step further down.
func (w *wire) within(step string, do func() error) error {
	w.path = append(w.path, step)
	err := do()
	w.path = w.path[:len(w.path)-1]
	return err
}

// field passes one length-delimited value.
func (w *wire) field(value []byte, f protoField, depth int) error {
	t := f.t
	switch {
	case t.Kind() == reflect.Map:
		if err := w.charge(1, looseMember+int(t.Elem().Size())); err != nil {
			return err
		}
		return w.entry(value, t, depth)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return nil
	case t.Kind() == reflect.Slice:
		t = t.Elem()
		if !f.rep { // a message that wraps a list: one item a field
			return w.charge(len(value)/2+1, (len(value)/2+1)*2*int(t.Size()))
		}
		if err := w.charge(1, 2*int(t.Size())); err != nil {
			return err
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
		if err := w.charge(0, int(t.Size())); err != nil {
			return err
		}
	}
	if t == quantityType {
		return w.quantityMessage(value)
	}
	if t.Kind() == reflect.Struct {
		return w.message(value, t, depth+1)
	}
	return nil
}

// entry passes a map's entry: the key is field 1, the value field 2.
func (w *wire) entry(data []byte, t reflect.Type, depth int) error {
	key := ""
	return each(data, func(num protowire.Number, bytes bool, value []byte) error {
		switch {
		case bytes && num == 1:
			key = string(value[:min(len(value), 64)])
		case bytes && num == 2:
			return w.within("["+key+"]", func() error { return w.field(value, protoField{t: t.Elem()}, depth) })
		}
		return nil
	})
}

// quantityMessage passes a Quantity: its text is field 1.
func (w *wire) quantityMessage(data []byte) error {
	return each(data, func(num protowire.Number, bytes bool, value []byte) error {
		if num != 1 || !bytes {
			return nil
		}
		return w.quantity(strings.TrimSpace(string(value)))
	})
}

// fieldsOf reads the protobuf tags of a struct: "bytes,2,rep,name=containers".
func (w *wire) fieldsOf(t reflect.Type) map[protowire.Number]protoField {
	if m, ok := w.fields[t]; ok {
		return m
	}
	m := map[protowire.Number]protoField{}
	w.fields[t] = m
	for i := range t.NumField() {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(tag) < 3 {
			continue
		}
		n, err := strconv.Atoi(tag[1])
		if err != nil {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		m[protowire.Number(n)] = protoField{name: name, t: f.Type, rep: tag[2] == "rep"}
	}
	return m
}

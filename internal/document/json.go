package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"hyperkube/internal/bounds"
)

// CheckJSON checks a document that is to be decoded into a value of type t (a struct, a
// slice, a map, or any). The error is an *Excess or a *Malformed.
func CheckJSON(data []byte, t reflect.Type) error {
	if plain(data) && !bytes.Contains(data, []byte(`\u00`)) && bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) <= bounds.Depth {
		return nil
	}
	s := &scanner{data: data, fields: map[reflect.Type]map[string]reflect.Type{}}
	err := s.value(t, 0)
	if errors.Is(err, errSyntax) {
		return nil
	}
	return err
}

var errSyntax = errors.New("not JSON")

// What a value costs that is decoded without a type.
const (
	looseValue  = 16  // an interface
	looseObject = 48  // a map
	looseGroup  = 256 // a map that holds something
	looseMember = 48
)

var (
	quantityType    = reflect.TypeFor[resource.Quantity]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

type scanner struct {
	ledger
	data   []byte
	pos    int
	fields map[reflect.Type]map[string]reflect.Type // of structs met, by JSON name
}

// peek is the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// value passes one value that is decoded into t; nil is an untyped one.
func (s *scanner) value(t reflect.Type, depth int) error {
	if depth > bounds.Depth {
		return &Malformed{"", fmt.Sprintf("nested deeper than %d levels", bounds.Depth)}
	}
	c := s.peek()
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
		if c != 'n' {
			if err := s.charge(0, int(t.Size())); err != nil {
				return err
			}
		}
	}
	if t == quantityType {
		return s.quantityValue(c)
	}
	switch c {
	case '{':
		return s.object(custom(t), depth)
	case '[':
		return s.array(custom(t), depth)
	case '"':
		_, err := s.str()
		return err
	case 0, ',', ':', '}', ']':
		return errSyntax
	}
	for s.pos < len(s.data) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(s.data[s.pos])) {
		s.pos++
	}
	return nil
}

func (s *scanner) quantityValue(c byte) error {
	start := s.pos
	if c == '"' {
		text, err := s.str()
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, '\\') >= 0 { // no quantity needs an escape
			var u string
			if json.Unmarshal(s.data[start:s.pos], &u) == nil {
				text = []byte(u)
			}
		}
		return s.quantity(strings.TrimSpace(string(text)))
	}
	if err := s.value(nil, 0); err != nil {
		return err
	}
	return s.quantity(string(s.data[start:s.pos]))
}

// str passes a string and returns what stands between the quotes, as it stands there.
func (s *scanner) str() ([]byte, error) {
	s.pos++
	start := s.pos
	for {
		i := bytes.IndexByte(s.data[s.pos:], '"')
		if i < 0 {
			return nil, errSyntax
		}
		s.pos += i + 1
		escapes := 0
		for at := s.pos - 2; at >= start && s.data[at] == '\\'; at-- {
			escapes++
		}
		if escapes%2 == 0 {
			return s.data[start : s.pos-1], nil
		}
	}
}

func (s *scanner) object(t reflect.Type, depth int) error {
	s.pos++
	if t == nil {
		if err := s.charge(0, looseObject); err != nil {
			return err
		}
	}
	for first := true; ; first = false {
		switch c := s.peek(); {
		case c == '}':
			s.pos++
			return nil
		case !first && c == ',':
			s.pos++
			s.peek()
		case !first:
			return errSyntax
		}
		if s.peek() != '"' {
			return errSyntax
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return errSyntax
		}
		s.pos++
		if err := s.member(t, string(key), first, depth); err != nil {
			return err
		}
	}
}

// member passes the value of one key.
func (s *scanner) member(t reflect.Type, key string, first bool, depth int) error {
	var of reflect.Type
	var err error
	step := "." + key
	switch {
	case t == nil:
		cost := looseMember + len(key)
		if first {
			cost += looseGroup
		}
		err = s.charge(1, cost)
	case t.Kind() == reflect.Map:
		of, step = t.Elem(), "["+key+"]"
		err = s.charge(1, looseMember+int(of.Size())+len(key))
	case t.Kind() == reflect.Struct:
		var known bool
		if of, known = s.fieldsOf(t)[key]; !known {
			err = s.charge(1, 0)
		}
	}
	if err != nil {
		return err
	}
	s.path = append(s.path, step)
	err = s.value(of, depth+1)
	s.path = s.path[:len(s.path)-1]
	return err
}

func (s *scanner) array(t reflect.Type, depth int) error {
	s.pos++
	var of reflect.Type
	cost := 2 * looseValue
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		of = t.Elem()
		cost = 2 * int(of.Size()) // a growing slice is held twice
	}
	for i := 0; ; i++ {
		switch c := s.peek(); {
		case c == ']':
			s.pos++
			return nil
		case i > 0 && c == ',':
			s.pos++
		case i > 0:
			return errSyntax
		}
		if err := s.charge(1, cost); err != nil {
			return err
		}
		s.path = append(s.path, "["+strconv.Itoa(i)+"]")
		err := s.value(of, depth+1)
		s.path = s.path[:len(s.path)-1]
		if err != nil {
			return err
		}
	}
}

// custom is the type by which an object or array of t is checked further: t itself, or
// for a type that decodes itself what it decodes into, as far as its fields tell.
func custom(t reflect.Type) reflect.Type {
	if t == nil || t.Kind() == reflect.Interface {
		return nil
	}
	if !reflect.PointerTo(t).Implements(unmarshalerType) {
		return t
	}
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			if f := t.Field(i).Type; f.Kind() == reflect.Pointer && f.Elem().Kind() == reflect.Struct && f.Elem().NumField() > 1 {
				return f.Elem()
			}
		}
	}
	return nil
}

// fieldsOf are the types of a struct's fields by their JSON names.
func (s *scanner) fieldsOf(t reflect.Type) map[string]reflect.Type {
	if m, ok := s.fields[t]; ok {
		return m
	}
	m := map[string]reflect.Type{}
	s.fields[t] = m
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			of := f.Type
			if of.Kind() == reflect.Pointer {
				of = of.Elem()
			}
			if of.Kind() == reflect.Struct {
				for k, v := range s.fieldsOf(of) {
					m[k] = v
				}
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		m[name] = f.Type
	}
	return m
}

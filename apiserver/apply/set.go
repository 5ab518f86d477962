package apply

import (
	"cmp"
	"strings"
	"unsafe"
)

// set is one element of a field set: a path element in its serialized form
// (`f:spec`, `k:{"name":"x"}`, `v:"x"`), whether the path itself is a member,
// and the elements below. Lists of sets are sorted by compareKeys and shared
// freely: nobody changes one after it was built.
type set struct {
	key    string
	member bool
	below  []set
}

// parseSet reads FieldsV1. It knows the form that this package and the library
// write; for any other it says no and the library has to look.
func parseSet(raw []byte) ([]set, bool) {
	p := parser{text: unsafe.String(unsafe.SliceData(raw), len(raw))}
	_, list, ok := p.object(0)
	return list, ok && p.at == len(p.text)
}

// parser works on bytes that are never changed: keys point into them.
type parser struct {
	text     string
	at       int
	compared int // elements that keys were compared with one by one
}

const maxDepth = 200

// object reads {"key":{…},…}; self is true when it has a "." or is empty.
func (p *parser) object(depth int) (self bool, list []set, ok bool) {
	if depth > maxDepth || !p.take('{') {
		return false, nil, false
	}
	if p.take('}') {
		return true, nil, true
	}
	list = make([]set, 0, p.siblings())
	for {
		key, ok := p.key()
		if !ok || !p.take(':') {
			return false, nil, false
		}
		member, below, ok := p.object(depth + 1)
		if !ok {
			return false, nil, false
		}
		switch {
		case key == ".":
			self = true
		case len(key) < 2 || key[1] != ':' || (key[0] != 'f' && key[0] != 'k' && key[0] != 'v'):
			return false, nil, false
		case len(list) > 0 && compareKeys(list[len(list)-1].key, key) >= 0:
			return false, nil, false
		default:
			list = append(list, set{key: key, member: member, below: below})
		}
		if p.take('}') {
			return self, list, true
		}
		if !p.take(',') {
			return false, nil, false
		}
	}
}

// siblings counts the keys of the object just entered, to allocate once.
func (p *parser) siblings() int {
	n, depth, quoted := 1, 0, false
	for i := p.at; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth == 0 {
				return n
			}
			depth--
		case c == ',' && depth == 0:
			n++
		}
	}
	return n
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// key reads a JSON string in which nothing but quotes is escaped.
func (p *parser) key() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	start, escaped := p.at, false
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '"':
			key := p.text[start:p.at]
			p.at++
			if escaped {
				key = strings.ReplaceAll(key, `\"`, `"`)
				if strings.Contains(key, `\`) {
					return "", false
				}
			}
			return key, true
		case '\\':
			escaped = true
			p.at++
		}
		p.at++
	}
	return "", false
}

// appendSet writes what parseSet reads.
func appendSet(b []byte, list []set, self bool) []byte {
	b = append(b, '{')
	if self && len(list) > 0 {
		b = append(b, `".":{}`...)
	}
	for i := range list {
		if i > 0 || self {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = appendKey(b, list[i].key)
		b = append(b, `":`...)
		b = appendSet(b, list[i].below, list[i].member)
	}
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	if key[0] == 'f' {
		return append(b, key...)
	}
	for i := range len(key) {
		if key[i] == '"' {
			b = append(b, '\\')
		}
		b = append(b, key[i])
	}
	return b
}

// subtract removes the members of d from s. It returns s itself when it has none of them.
func subtract(s, d []set) (out []set, changed bool) {
	if len(d) == 0 {
		return s, false
	}
	j := 0
	for i := range s {
		for j < len(d) && compareKeys(d[j].key, s[i].key) < 0 {
			j++
		}
		e, touched := s[i], false
		if j < len(d) && d[j].key == e.key {
			var below []set
			below, touched = subtract(e.below, d[j].below)
			if touched {
				e.below = below
			}
			if e.member && d[j].member {
				e.member, touched = false, true
			}
		}
		if touched && !changed {
			changed, out = true, append(make([]set, 0, len(s)), s[:i]...)
		}
		if changed && (e.member || len(e.below) > 0) {
			out = append(out, e)
		}
	}
	if !changed {
		return s, false
	}
	return out, true
}

// union returns a itself when it has all of b already.
func union(a, b []set) (out []set, changed bool) {
	i, j := 0, 0
	out = a[:0:0]
	for i < len(a) && j < len(b) {
		switch c := compareKeys(a[i].key, b[j].key); {
		case c < 0:
			out = append(out, a[i])
			i++
		case c > 0:
			out, changed = append(out, b[j]), true
			j++
		default:
			e := a[i]
			below, more := union(e.below, b[j].below)
			if more {
				e.below, changed = below, true
			}
			if b[j].member && !e.member {
				e.member, changed = true, true
			}
			out = append(out, e)
			i, j = i+1, j+1
		}
	}
	out = append(out, a[i:]...)
	if j < len(b) {
		out, changed = append(out, b[j:]...), true
	}
	if !changed {
		return a, false
	}
	return out, true
}

// compareKeys orders path elements as the library does: fields, keyed items,
// set items; numbers by value.
func compareKeys(a, b string) int {
	if a[0] == b[0] {
		switch a[0] {
		case 'k':
			return compareItems(a[2:], b[2:])
		case 'v':
			c, _, _ := compareScalars(a[2:], b[2:])
			return c
		}
		return strings.Compare(a, b)
	}
	return cmp.Compare(rank(a[0]), rank(b[0]))
}

func rank(c byte) int { return strings.IndexByte("fkvi", c) }

// compareItems compares {"name":value,…} field by field.
func compareItems(a, b string) int {
	for {
		if len(a) < 2 || len(b) < 2 {
			return cmp.Compare(len(a), len(b))
		}
		a, b = a[1:], b[1:] // { or ,
		c, restA, restB := compareScalars(a, b)
		if c != 0 {
			return c
		}
		if len(restA) == 0 || len(restB) == 0 {
			return cmp.Compare(len(restA), len(restB))
		}
		if c, a, b = compareScalars(restA[1:], restB[1:]); c != 0 { // after the colon
			return c
		}
	}
}

// compareScalars compares the string, number or boolean at the start of each:
// numbers before strings before booleans.
func compareScalars(a, b string) (c int, restA, restB string) {
	x, restA := scalarText(a)
	y, restB := scalarText(b)
	kx, ky := scalarKind(x), scalarKind(y)
	switch {
	case kx != ky:
		c = cmp.Compare(kx, ky)
	case kx == 0:
		c = compareNumbers(x, y)
	default:
		c = strings.Compare(strings.Trim(x, `"`), strings.Trim(y, `"`))
	}
	return c, restA, restB
}

func scalarText(s string) (text, rest string) {
	if len(s) > 0 && s[0] == '"' {
		if end := strings.IndexByte(s[1:], '"'); end >= 0 {
			return s[:end+2], s[end+2:]
		}
		return s, ""
	}
	end := strings.IndexAny(s, ",:}")
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func scalarKind(s string) int {
	switch {
	case s == "":
		return 3
	case s[0] == '"':
		return 1
	case s[0] == 't' || s[0] == 'f':
		return 2
	}
	return 0
}

// compareNumbers compares decimal integers of any length.
func compareNumbers(x, y string) int {
	negX, negY := strings.HasPrefix(x, "-"), strings.HasPrefix(y, "-")
	switch {
	case negX && !negY:
		return -1
	case !negX && negY:
		return 1
	case negX:
		x, y = y[1:], x[1:]
	}
	if len(x) != len(y) {
		return cmp.Compare(len(x), len(y))
	}
	return strings.Compare(x, y)
}

package apply

import (
	"strings"
	"unsafe"
)

// search counts the members of want that a FieldsV1 text has, reading past
// whatever want does not mention. The text must be well-formed; where it is not
// as this package writes it, ok is false.
func search(raw []byte, want []set) (found int, ok bool) {
	if len(want) == 0 {
		return 0, true
	}
	p := parser{text: unsafe.String(unsafe.SliceData(raw), len(raw))}
	_, found, ok = p.search(want)
	return found, ok
}

// search reads one object; self is true when it has a "." or is empty.
func (p *parser) search(want []set) (self bool, found int, ok bool) {
	if !p.take('{') {
		return false, 0, false
	}
	if p.take('}') {
		return true, 0, true
	}
	var index map[string]*set // once it is worth it
	for asked := 0; ; asked++ {
		key, ok := p.rawKey()
		if !ok || !p.take(':') {
			return false, 0, false
		}
		if key == "." {
			self = true
		}
		if index == nil && asked >= few && len(want) > few {
			index = indexed(want)
		}
		e := index[key]
		if index == nil {
			p.compared += len(want)
			e = lookup(want, key)
		}
		if e == nil {
			if !p.skip() {
				return false, 0, false
			}
		} else {
			member, below, ok := p.search(e.below)
			if !ok {
				return false, 0, false
			}
			found += below
			if member && e.member {
				found++
			}
		}
		if p.take('}') {
			return self, found, true
		}
		if !p.take(',') {
			return false, 0, false
		}
	}
}

// rawKey reads a JSON string and leaves its escapes in place.
func (p *parser) rawKey() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	start := p.at
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '"':
			p.at++
			return p.text[start : p.at-1], true
		case '\\':
			p.at++
		}
		p.at++
	}
	return "", false
}

// few is how many keys are looked for among how many elements without an index.
const few = 32

// indexed holds the elements of want by their keys in escaped form.
func indexed(want []set) map[string]*set {
	out := make(map[string]*set, len(want))
	for i := range want {
		key := want[i].key
		if key[0] != 'f' {
			key = strings.ReplaceAll(key, `"`, `\"`)
		}
		if out[key] == nil {
			out[key] = &want[i]
		}
	}
	return out
}

// lookup finds the element of want whose key raw is in escaped form.
func lookup(want []set, raw string) *set {
	for i := range want {
		if sameKey(want[i].key, raw) {
			return &want[i]
		}
	}
	return nil
}

func sameKey(key, raw string) bool {
	if len(raw) < len(key) || raw[0] != key[0] {
		return false
	}
	if raw[0] == 'f' {
		return raw == key
	}
	j := 0
	for i := range len(key) {
		if key[i] == '"' {
			if j >= len(raw) || raw[j] != '\\' {
				return false
			}
			j++
		}
		if j >= len(raw) || raw[j] != key[i] {
			return false
		}
		j++
	}
	return j == len(raw)
}

// skip reads past one object.
func (p *parser) skip() bool {
	depth := 0
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case '"':
			if _, ok := p.rawKey(); !ok {
				return false
			}
			continue
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				p.at++
				return true
			}
		}
		p.at++
	}
	return false
}

// members counts the members of a set.
func members(s []set) int {
	n := 0
	for i := range s {
		if s[i].member {
			n++
		}
		n += members(s[i].below)
	}
	return n
}

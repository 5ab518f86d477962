package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// readable streams a document for eyes, YAML or indented JSON, whose elements come one by
// one: it looks as if the whole had been encoded at once, and holds one element.
//
//	newReadable writes what comes before the array, add an element, end the rest
type readable struct {
	pieces
	m     Media
	key   string
	some  bool
	after []byte // the array
}

// newReadable begins a document. empty is its compact JSON with the array, the value of
// its last member key, empty.
func newReadable(w io.Writer, m Media, buf, empty []byte, key string) (*readable, error) {
	text, err := appendReadable(nil, m, empty)
	if err != nil {
		return nil, err
	}
	// In YAML the members are sorted, and the array may stand anywhere but first.
	array := []byte("\n" + key + ": []\n")
	at := bytes.Index(text, array)
	if m.Wire != YAML {
		array = []byte("[]\n}\n")
		at = len(text) - len(array)
	}
	if at < 0 || !bytes.HasPrefix(text[at:], array) {
		return nil, fmt.Errorf("no empty %s in %s", key, text)
	}
	r := &readable{pieces: pieces{w, append(buf[:0], text[:at]...)}, m: m, key: key, after: text[at+len(array):]}
	return r, nil
}

// add writes an element, which is compact JSON.
func (r *readable) add(element []byte) error {
	if r.m.Wire == YAML {
		if !r.some {
			r.buf = append(r.buf, "\n"+r.key+":\n"...)
		}
		list := make([]byte, 0, len(element)+2)
		list = append(append(append(list, '['), element...), ']')
		text, err := yaml.JSONToYAML(list)
		if err != nil {
			return err
		}
		r.buf = append(r.buf, text...)
	} else {
		between := ",\n    "
		if !r.some {
			between = "[\n    "
		}
		out := bytes.NewBuffer(append(r.buf, between...))
		if err := json.Indent(out, element, "    ", "  "); err != nil {
			return err
		}
		r.buf = out.Bytes()
	}
	r.some = true
	return r.flush(false)
}

// end writes what is left.
func (r *readable) end() ([]byte, error) {
	switch {
	case r.m.Wire == YAML && !r.some:
		r.buf = append(r.buf, "\n"+r.key+": []\n"...)
	case r.m.Wire == YAML:
	case r.some:
		r.buf = append(r.buf, "\n  ]\n}\n"...)
	default:
		r.buf = append(r.buf, "[]\n}\n"...)
	}
	r.buf = append(r.buf, r.after...)
	return r.buf, r.flush(true)
}

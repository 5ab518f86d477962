package frames

import (
	"fmt"

	"hyperkube/internal/bounds"
)

// sizeMeter counts the bytes of a terminal's size as JSON, of which one follows another. A
// decoder keeps all of one until it is complete, and of what is between two. It need not know
// all of JSON: where it counts on, the decoder may have met an error and read no more.
type sizeMeter struct {
	n, depth        int
	quoted, escaped bool
}

func (m *sizeMeter) count(b []byte) error {
	for _, c := range b {
		if m.n++; m.n > bounds.TerminalSize {
			return fmt.Errorf("a terminal's size is longer than %d bytes", bounds.TerminalSize)
		}
		switch {
		case m.escaped:
			m.escaped = false
		case m.quoted && c == '\\':
			m.escaped = true
		case c == '"':
			m.quoted = !m.quoted
		case m.quoted:
		case c == '{' || c == '[':
			m.depth++
		case c == '}' || c == ']':
			if m.depth--; m.depth == 0 {
				m.n = 0
			}
		}
	}
	return nil
}

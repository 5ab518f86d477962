// Package document looks over what a client sent before anything decodes it: a small
// input may become a large value, or take for ever to parse, and by the time that shows
// the memory and the time are spent. All limits are those of internal/bounds.
//
//	YAML ─▶ FromYAML: aliases written out, depth and bytes bounded ─▶ JSON
//	JSON ─▶ CheckJSON ─┐ guided by the Go type it will be decoded into: nesting, items,
//	protobuf ─▶ CheckProto ─┘ memory of the decoded value, exponents of quantities
//
// The checks are linear in the input and cost next to nothing for small inputs without
// odd numbers. They never judge syntax: what is malformed passes, for the decoder to tell.
package document

import (
	"fmt"
	"strconv"
	"strings"

	"hyperkube/internal/bounds"
)

// Excess is an input that would grow beyond a bound.
type Excess struct {
	What  string // "decoded bytes"
	Limit int
}

// Error says which bound was passed.
func (e *Excess) Error() string {
	return fmt.Sprintf("the document is too large: limit is %d %s", e.Limit, e.What)
}

// Malformed is a value that no decoder may see.
type Malformed struct {
	Path string // "spec.containers[0].resources.limits[cpu]"
	Why  string
}

// Error names the field and what is wrong.
func (e *Malformed) Error() string {
	if e.Path == "" {
		return e.Why
	}
	return e.Path + ": " + e.Why
}

// ledger sums up what a document becomes.
type ledger struct {
	bytes, items int
	path         []string
}

func (l *ledger) charge(items, bytes int) error {
	l.items += items
	l.bytes += bytes
	if l.items > bounds.Items {
		return &Excess{"items", bounds.Items}
	}
	if l.bytes > bounds.Decoded {
		return &Excess{"decoded bytes", bounds.Decoded}
	}
	return nil
}

func (l *ledger) at() string { return strings.TrimPrefix(strings.Join(l.path, ""), ".") }

// quantity refuses a number whose exponent or digits would take the parser for ever.
func (l *ledger) quantity(s string) error {
	if len(s) > bounds.Quantity {
		return &Malformed{l.at(), fmt.Sprintf("quantity %.40q: %d bytes are too many: at most %d", s, len(s), bounds.Quantity)}
	}
	i := strings.LastIndexAny(s, "eE")
	if i < 0 {
		return nil
	}
	power := strings.TrimLeft(s[i+1:], "+-")
	if power == "" || strings.Trim(power, "0123456789") != "" {
		return nil // "1Ei": a suffix, or nothing that the parser takes
	}
	if n, err := strconv.Atoi(power); err == nil && n <= bounds.Exponent {
		return nil
	}
	return &Malformed{l.at(), fmt.Sprintf("quantity %.40q: the exponent must be between -%d and %d", s, bounds.Exponent, bounds.Exponent)}
}

// plain says that data is too small to become large and holds no number with an exponent
// of four digits or more: nothing need be checked.
func plain(data []byte) bool { return len(data) <= bounds.Unchecked && !longDigits(data) }

// longDigits finds e or E, a sign or none, and four digits: what only a check guided by
// the type can tell from a name.
func longDigits(data []byte) bool {
	for i := 3; i < len(data); i += 4 { // four digits in a row cover every fourth place
		if !digit(data[i]) {
			continue
		}
		first := i
		for first > 0 && digit(data[first-1]) {
			first--
		}
		last := i
		for last+1 < len(data) && digit(data[last+1]) {
			last++
		}
		if last-first >= 3 && first > 0 {
			before := data[first-1]
			if (before == '+' || before == '-') && first > 1 {
				before = data[first-2]
			}
			if before == 'e' || before == 'E' {
				return true
			}
		}
		i = last
	}
	return false
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

package cri

import (
	"fmt"
	"strings"
)

// room is how many bytes may still be written where references are expanded. Values that refer to values double with
// each line: they are counted while they grow, not afterwards.
type room struct{ most, left int }

func newRoom(most int) *room { return &room{most, most} }

// take uses n bytes up.
func (r *room) take(n int) error {
	if n > r.left {
		return fmt.Errorf("more than %d bytes once variables are expanded", r.most)
	}
	r.left -= n
	return nil
}

// entry uses up what one variable of the environment takes besides what is expanded.
func (r *room) entry(name string, value int) error {
	if err := r.take(len(name) + value + 2); err != nil {
		return fmt.Errorf("environment variable %q: %w", name, err)
	}
	return nil
}

// expand replaces $(NAME) by what lookup knows and leaves it alone otherwise; $$ stands for one $.
func (r *room) expand(s string, lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for s != "" {
		part, rest := reference(s, lookup)
		if err := r.take(len(part)); err != nil {
			return "", err
		}
		b.WriteString(part)
		s = rest
	}
	return b.String(), nil
}

// reference is what the begin of s stands for, up to and with its first reference, and what comes after.
func reference(s string, lookup func(string) (string, bool)) (part, rest string) {
	i := strings.IndexByte(s, '$')
	switch {
	case i > 0:
		return s[:i], s[i:]
	case i < 0 || len(s) == 1:
		return s, ""
	case s[1] == '$':
		return "$", s[2:]
	case s[1] != '(':
		return s[:2], s[2:]
	}
	end := strings.IndexByte(s, ')')
	if end < 0 {
		return s[:2], s[2:]
	}
	if v, ok := lookup(s[2:end]); ok {
		return v, s[end+1:]
	}
	return s[:end+1], s[end+1:]
}

// ExpandPath expands a path with at most that many bytes. A reference to what is not known is an error.
func ExpandPath(s string, vars map[string]string, most int) (string, error) {
	unknown := ""
	out, err := newRoom(most).expand(s, func(name string) (string, bool) {
		v, ok := vars[name]
		if !ok && unknown == "" {
			unknown = name
		}
		return v, ok
	})
	if err == nil && unknown != "" {
		err = fmt.Errorf("missing value for %q", unknown)
	}
	return out, err
}

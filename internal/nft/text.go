package nft

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// text is the rule as nft would print it, more or less.
func (r Rule) text(f Family) string {
	parts := make([]string, len(r))
	for i, s := range r {
		parts[i] = s.text(f)
	}
	return strings.Join(parts, " ")
}

func (c *Chain) text(f Family) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  chain %s {\n", c.Name)
	if c.Hook != nil {
		fmt.Fprintf(&b, "    %s\n", c.Hook.text())
	}
	for _, r := range c.Rules {
		fmt.Fprintf(&b, "    %s\n", r.text(f))
	}
	b.WriteString("  }\n")
	return b.String()
}

func (h *Hook) text() string {
	if h.Link != "" {
		return fmt.Sprintf("type %s hook ingress device %q priority %d", h.Type, h.Link, h.Priority)
	}
	names := []string{"prerouting", "input", "forward", "output", "postrouting"}
	return fmt.Sprintf("type %s hook %s priority %d", h.Type, names[h.Num], h.Priority)
}

// spec is what of a hook cannot be changed once a chain is on it; nil: on none.
func (h *Hook) spec() string {
	if h == nil {
		return ""
	}
	return hookSpec(h.Type, h.Num, h.Priority, policyAccept)
}

// policyAccept (NF_ACCEPT) is what all our chains do at their end.
const policyAccept = 1

func hookSpec(typ string, num uint32, priority int32, policy uint32) string {
	return fmt.Sprintf("%s %d %d policy %d", typ, num, priority, policy)
}

// usesAny reports whether a rule of the chain looks something up in one of the sets.
func (c *Chain) usesAny(sets map[string]bool) bool {
	for _, r := range c.Rules {
		for _, s := range r {
			if u, ok := s.(user); ok && sets[u.uses()] {
				return true
			}
		}
	}
	return false
}

// digest stands for the content of the chain.
func (c *Chain) digest(f Family) string {
	sum := sha256.Sum256([]byte(c.text(f)))
	return hex.EncodeToString(sum[:8])
}

func (s *Set) text(f Family) string {
	types := func(ts []Type) string {
		names := make([]string, len(ts))
		for i, t := range ts {
			names[i] = t.name(f)
		}
		return strings.Join(names, " . ")
	}
	word, body := "set", types(s.Key)
	if s.Data != nil {
		word, body = "map", body+" : "+types(s.Data)
	}
	if s.Dynamic {
		body += "; flags dynamic,timeout"
		if s.Most != 0 {
			body += fmt.Sprintf("; size %d", s.Most)
		}
	}
	return fmt.Sprintf("%s %s { type %s; }", word, s.Name, body)
}

// Text renders everything that d wants in the table, sorted by name.
func (d *Desired) Text() string {
	f := d.table.Family
	var b strings.Builder
	fmt.Fprintf(&b, "table %s {\n", d.table)
	byName := slices.SortedFunc(maps.Values(d.sets), func(x, y *Set) int { return cmp.Compare(x.Name, y.Name) })
	for _, s := range byName {
		fmt.Fprintf(&b, "  %s\n", s.text(f))
		var lines []string
		for k := range d.claims[s.Name] {
			lines = append(lines, d.elementText(s, k))
		}
		slices.Sort(lines)
		for _, l := range lines {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.chains)) {
		b.WriteString(d.chains[name].text(f))
	}
	b.WriteString("}\n")
	return b.String()
}

func (d *Desired) elementText(s *Set, key string) string {
	v, _ := d.value(s.Name, key)
	line := keyText(key, s.Key, d.table.Family)
	if s.Data != nil {
		line += " : " + v.text(s.Data, d.table.Family)
	}
	return line
}

// Package structure knows what the Go types do not say about merging: which
// lists are keyed maps or sets, and which structs and maps are changed only as
// a whole. It is the published schema boiled down to its exceptions; a test
// holds it equal to the one that client-go carries.
//
// What is not mentioned is the rule: lists are atomic, maps and structs granular.
package structure

import (
	_ "embed"
	"strings"
)

//go:embed structure.txt
var text string

// Relation says how the elements of a field belong together.
type Relation struct {
	// Set is a list whose elements are their own keys; Keys are the fields that
	// identify the elements of a keyed list. Atomic is a map or struct replaced as a
	// whole, Granular a struct that is not, against the rule of its type. Deduced
	// values have no fixed type.
	Set, Atomic, Granular, Deduced bool
	Keys                           []string
}

// Table looks relations up. It is immutable.
type Table struct{ relations map[string]Relation }

// Load reads the table. It costs well under a millisecond.
func Load() *Table {
	t := &Table{relations: make(map[string]Relation, strings.Count(text, "\n"))}
	for line := range strings.Lines(text) {
		name, words, _ := strings.Cut(strings.TrimSpace(line), " ")
		word, keys, _ := strings.Cut(words, " ")
		r := Relation{Set: word == "set", Atomic: word == "atomic", Granular: word == "separable", Deduced: word == "deduced"}
		if word == "map" {
			r.Keys = strings.Split(keys, ",")
		}
		t.relations[name] = r
	}
	return t
}

// Field looks up a field by the model name of its struct and its JSON name.
func (t *Table) Field(model, field string) Relation { return t.relations[model+"#"+field] }

// Type looks up a struct by its model name.
func (t *Table) Type(model string) Relation { return t.relations[model] }

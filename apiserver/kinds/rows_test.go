package kinds

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// base is a valid object that the rows of a file change a little, one row for each rule:
//
//	base kind=Pod            the object; prints each field that defaulting and preparing set
//	fill                     rows; the same for the changed base, where it differs
//	hint                     rows; what whoever creates the changed base is warned of
//	try                      rows; what creating the changed base is refused for
//	change [sub=status]      rows; the same for an update of the base to the changed one
//
// A row is a YAML mapping in one line, from the path of a field to its new value:
// `spec.ports.0.port: 0`, `{spec.a: 1, spec.b: 2}`. null takes the field or item away, + as the last
// part of a path appends, 20* does so twenty times,
// and text under a*20 is twenty times as long. In `row => row` the first changes the old object too.
// Each finding is a line, the second and later ones of a row start with "  + ".
type base struct {
	k      *kind.Kind
	tree   any
	filled map[string]string
}

// more comes before the second and later findings of a row.
const more = "\n  + "

func (b *base) run(t *testing.T, d *datadriven.TestData, kinds map[string]*kind.Kind) string {
	if d.Cmd == "base" {
		var name string
		d.ScanArgs(t, "kind", &name)
		if b.k = kinds[name]; b.k == nil {
			d.Fatalf(t, "no kind %s", name)
		}
		b.tree = tree(t, d, []byte(d.Input))
		b.filled = b.fill(t, d, b.tree, nil)
		return filled(b.filled, "\n")
	}
	if b.k == nil {
		d.Fatalf(t, "no base yet")
	}
	var sub string
	d.MaybeScanArgs(t, "sub", &sub)
	var out strings.Builder
	for row := range strings.Lines(d.Input) {
		before, after, pair := strings.Cut(row, " => ")
		first := edit(t, d, b.tree, before)
		switch {
		case d.Cmd == "fill":
			out.WriteString(filled(b.fill(t, d, first, b.filled), more))
		case d.Cmd == "hint":
			obj := b.object(t, d, first)
			create(t, b.k, obj)
			out.WriteString(lines(b.k.Warnings(obj, nil), "none", more))
		case d.Cmd == "try":
			out.WriteString(findings(create(t, b.k, b.object(t, d, first))))
		case pair:
			out.WriteString(b.change(t, d, first, edit(t, d, first, after), sub))
		default:
			out.WriteString(b.change(t, d, b.tree, first, sub))
		}
	}
	return out.String()
}

// change is the answer to an update, as a client with the old object in hand sends it.
func (b *base) change(t *testing.T, d *datadriven.TestData, before, after any, sub string) string {
	return findings(update(t, d, b.k, b.object(t, d, before), b.object(t, d, after), sub))
}

// fill is what create puts into the object beyond what the client sent. With usual, only
// what differs from that.
func (b *base) fill(t *testing.T, d *datadriven.TestData, sent any, usual map[string]string) map[string]string {
	obj := b.object(t, d, sent)
	before := leaves(t, d, obj)
	if errs := create(t, b.k, obj); len(errs) > 0 {
		d.Fatalf(t, "%s", findings(errs))
	}
	after := leaves(t, d, obj)
	for path, value := range before {
		if _, kept := after[path]; !kept && value != "{}" {
			after[path] = "gone"
		} else if after[path] == value {
			delete(after, path)
		}
	}
	for _, path := range []string{"metadata.name", "metadata.namespace", "metadata.uid"} {
		delete(after, path)
	}
	for path, value := range usual {
		if after[path] == value {
			delete(after, path)
		} else if _, sent := before[path]; !sent && after[path] == "" && value != "{}" {
			after[path] = "not filled"
		}
	}
	return after
}

// filled prints what fill found.
func filled(values map[string]string, separator string) string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(values)) {
		out = append(out, path+": "+values[path])
	}
	return lines(out, "nothing", separator)
}

// lines joins what was found; none stands for an empty list.
func lines(list []string, none, separator string) string {
	if len(list) == 0 {
		return none + "\n"
	}
	return strings.Join(list, separator) + "\n"
}

func (b *base) object(t *testing.T, d *datadriven.TestData, tree any) store.Object {
	text, err := json.Marshal(tree)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return decode(t, d, b.k, string(text))
}

func findings(errs field.ErrorList) string {
	found := make([]string, len(errs))
	for i, e := range errs {
		found[i], _, _ = strings.Cut(e.Error(), "\n")
	}
	slices.Sort(found)
	if n := len(found) - 5; n > 0 {
		found = append(found[:5], fmt.Sprintf("%d more", n))
	}
	return lines(found, "ok", more)
}

package verbs

import (
	"fmt"
	"slices"
	"strings"

	"hyperkube/internal/bounds"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// Directives of a strategic merge patch that stand beside a list and bear its name.
const (
	orderDirective  = "$setElementOrder/"
	deleteDirective = "$deleteFromPrimitiveList/"
)

// checkMerge refuses a strategic merge patch whose merging would take for ever: for each
// element of a list that is merged, the library looks through the list to find it, to sort
// it in and to compare it with its neighbours, and nothing can stop it.
func checkMerge(live, patch map[string]any, into any) error {
	schema, err := strategicpatch.NewPatchMetaFromStruct(into)
	if err != nil {
		return err
	}
	w := &mergeWork{left: bounds.MergeWork}
	if w.fields(live, []map[string]any{patch}, schema); w.left < 0 {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"merging the list %s of %d items strategically takes too long: use another type of patch, or an update", w.worst, w.most))
	}
	return nil
}

// mergeWork sums up what merging lists takes: the square of their elements.
type mergeWork struct {
	left  int
	worst string // the longest list
	most  int
}

// fields looks at an object and all that is merged into it, one after the other.
func (w *mergeWork) fields(live map[string]any, patches []map[string]any, schema strategicpatch.LookupPatchMeta) {
	lists, maps := map[string]*merged{}, map[string][]map[string]any{}
	for _, p := range patches {
		for key, value := range p {
			switch v := value.(type) {
			case map[string]any:
				maps[key] = append(maps[key], v)
			case []any:
				name, ordered := strings.CutPrefix(key, orderDirective)
				name = strings.TrimPrefix(name, deleteDirective)
				m := lists[name]
				if m == nil {
					m = &merged{}
					lists[name] = m
				}
				m.lists = append(m.lists, v)
				switch {
				case ordered:
					m.orders++
				case name == key:
					m.merges++
				}
			}
		}
	}
	for name, m := range lists {
		w.list(name, live, m, schema)
	}
	for name, subs := range maps {
		if of, ok := live[name].(map[string]any); ok || len(subs) > 1 {
			if sub, meta, err := schema.LookupPatchMetadataForStruct(name); err == nil && !slices.Contains(meta.GetPatchStrategies(), "replace") {
				w.fields(of, subs, sub)
			}
		}
		if w.left < 0 {
			return
		}
	}
}

// merged is what a patch says of one list.
type merged struct {
	lists          [][]any // elements and directives
	merges, orders int     // how many are of either sort
}

func (w *mergeWork) list(name string, of map[string]any, m *merged, schema strategicpatch.LookupPatchMeta) {
	live, ok := of[name].([]any)
	if !ok && m.orders == 0 && m.merges < 2 {
		return // taken as it is
	}
	sub, meta, err := schema.LookupPatchMetadataForSlice(name)
	if err != nil || !slices.Contains(meta.GetPatchStrategies(), "merge") {
		return // replaced, or refused by who merges
	}
	n := len(live)
	for _, l := range m.lists {
		n += len(l)
	}
	if n > w.most {
		w.most, w.worst = n, name
	}
	w.left -= n * n * max(1, m.merges, m.orders)
	if key := meta.GetPatchMergeKey(); key != "" && w.left >= 0 {
		w.elements(key, live, m.lists, sub)
	}
}

// elements looks at those elements that are merged with one another.
func (w *mergeWork) elements(key string, live []any, lists [][]any, schema strategicpatch.LookupPatchMeta) {
	have := map[string]map[string]any{}
	for _, e := range live {
		if o, ok := e.(map[string]any); ok {
			if id := fmt.Sprint(o[key]); have[id] == nil {
				have[id] = o
			}
		}
	}
	patches := map[string][]map[string]any{}
	for _, l := range lists {
		for _, e := range l {
			if o, ok := e.(map[string]any); ok {
				id := fmt.Sprint(o[key])
				patches[id] = append(patches[id], o)
			}
		}
	}
	for id, list := range patches {
		if w.fields(have[id], list, schema); w.left < 0 {
			return
		}
	}
}

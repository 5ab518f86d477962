package verbs

import (
	"fmt"
	"slices"

	"hyperkube/internal/bounds"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/sets"
)

// filter turns selectors into what the store understands: names, namespaces and
// indexed fields narrow the search, the rest is asked of every object.
func (e endpoint) filter(namespace string, o *metav1.ListOptions) (store.Filter, error) {
	f := store.Filter{Namespace: namespace}
	label, field, err := selectors(o)
	if err != nil {
		return f, err
	}
	var rest []fields.Requirement
	for _, r := range field.Requirements() {
		if !slices.Contains(e.Kind.FieldPaths, r.Field) {
			return f, apierrors.NewBadRequest(e.unknownField(r.Field))
		}
		if !e.narrow(&f, r) {
			rest = append(rest, r)
		}
	}
	f.Match = e.matcher(label, rest)
	return f, nil
}

// selectors reads both selectors, within bounds: nobody may ask so much of every
// object that all others wait for the answer.
func selectors(o *metav1.ListOptions) (labels.Selector, fields.Selector, error) {
	for name, text := range map[string]string{"labelSelector": o.LabelSelector, "fieldSelector": o.FieldSelector} {
		if len(text) > bounds.Selector {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("%s: %d bytes are too many: at most %d", name, len(text), bounds.Selector))
		}
		if n := conditions(text); n > bounds.Requirements { // before the parsers, which take long
			return nil, nil, tooManyConditions(name, n)
		}
	}
	label, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	field, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	asked, _ := label.Requirements()
	for name, n := range map[string]int{"labelSelector": len(asked), "fieldSelector": len(field.Requirements())} {
		if n > bounds.Requirements {
			return nil, nil, tooManyConditions(name, n)
		}
	}
	return label, field, nil
}

func (e endpoint) unknownField(path string) string {
	if len(e.Kind.FieldPaths) <= 2 {
		return fmt.Sprintf(`%q is not a known field selector: only "metadata.name", "metadata.namespace"`, path)
	}
	return "field label not supported: " + path
}

// narrow puts one requirement into the filter's own fields when it fits.
func (e endpoint) narrow(f *store.Filter, r fields.Requirement) bool {
	if r.Operator != selection.Equals && r.Operator != selection.DoubleEquals || r.Value == "" {
		return false
	}
	switch {
	case r.Field == "metadata.name" && f.Name == "":
		f.Name = r.Value
		return true
	case r.Field == "metadata.namespace" && f.Namespace == "":
		f.Namespace = r.Value
		return true
	case f.IndexName != "":
		return false
	}
	for _, ix := range e.Kind.Resource.Indexes {
		if ix.Name == r.Field {
			f.IndexName, f.IndexValue = r.Field, r.Value
			return true
		}
	}
	return false
}

func (e endpoint) matcher(label labels.Selector, rest []fields.Requirement) func(store.Object) bool {
	if label.Empty() && len(rest) == 0 {
		return nil
	}
	labeled := labelMatcher(label)
	return func(o store.Object) bool {
		if !labeled(o.GetLabels()) {
			return false
		}
		for _, r := range rest {
			v, _ := e.Kind.Field(o, r.Field)
			if (v == r.Value) == (r.Operator == selection.NotEquals) {
				return false
			}
		}
		return true
	}
}

// labelMatcher compares values itself when the selector only asks for some, as
// nearly all do.
func labelMatcher(label labels.Selector) func(map[string]string) bool {
	requirements, selectable := label.Requirements()
	type pair struct{ key, value string }
	pairs := make([]pair, 0, len(requirements))
	for _, r := range requirements {
		values := r.ValuesUnsorted()
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if len(values) == 1 {
				pairs = append(pairs, pair{r.Key(), values[0]})
			}
		}
	}
	if !selectable || len(pairs) < len(requirements) {
		return eachRequirement(label)
	}
	return func(m map[string]string) bool {
		for i := range pairs {
			if v, ok := m[pairs[i].key]; !ok || v != pairs[i].value {
				return false
			}
		}
		return true
	}
}

// fewValues are compared one by one.
const fewValues = 8

// eachRequirement is label.Matches, but that long lists of values are looked up and
// not gone through for every object.
func eachRequirement(label labels.Selector) func(map[string]string) bool {
	requirements, selectable := label.Requirements()
	if !selectable {
		return func(map[string]string) bool { return false }
	}
	type lookup struct {
		key    string
		values map[string]sets.Empty
		in     bool
	}
	var lookups []lookup
	var rest []labels.Requirement
	for _, r := range requirements {
		op := r.Operator()
		if len(r.ValuesUnsorted()) > fewValues && (op == selection.In || op == selection.NotIn) {
			lookups = append(lookups, lookup{r.Key(), r.Values(), op == selection.In})
			continue
		}
		rest = append(rest, r)
	}
	return func(m map[string]string) bool {
		for i := range rest {
			if !rest[i].Matches(labels.Set(m)) {
				return false
			}
		}
		for i := range lookups {
			v, found := m[lookups[i].key]
			if found {
				_, found = lookups[i].values[v]
			}
			if found != lookups[i].in {
				return false
			}
		}
		return true
	}
}

func tooManyConditions(name string, n int) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s: %d conditions are too many: at most %d", name, n, bounds.Requirements))
}

// conditions is about how many a selector has: the commas outside of lists, or the lists.
func conditions(text string) int {
	commas, lists, inside := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // of a field's value
		case '(':
			lists++
			inside = true
		case ')':
			inside = false
		case ',':
			if !inside {
				commas++
			}
		}
	}
	return max(commas+1, lists)
}

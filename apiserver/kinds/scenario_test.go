package kinds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// Scenario files under testdata drive the kinds as the verbs do:
//
//	create kind=Pod [show]   default, prepare and validate the object; show prints it
//	update kind=Pod [sub=status] [show]   the same for a change: two documents, old and new
//	warn kind=Pod            what a client is warned of; two documents for an update
//	row kind=Pod             the object's line in kubectl get -o wide, at 2026-01-01T01:00:00Z
//
// Files of rows (base, fill, try, change) show each rule of a kind once: see base.
// Findings are printed one a line, sorted. Run with -rewrite to accept the output.
func TestScenarios(t *testing.T) {
	kinds := map[string]*kind.Kind{}
	for _, k := range All() {
		kinds[k.Kind] = k
	}
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var rows base
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "base", "fill", "hint", "try", "change":
				return rows.run(t, d, kinds)
			}
			var name, sub string
			d.ScanArgs(t, "kind", &name)
			d.MaybeScanArgs(t, "sub", &sub)
			k := kinds[name]
			if k == nil {
				d.Fatalf(t, "no kind %s", name)
			}
			switch d.Cmd {
			case "create":
				obj := decode(t, d, k, d.Input)
				return finish(t, obj, create(t, k, obj), d.HasArg("show"))
			case "update":
				return updateScenario(t, d, k, sub)
			case "warn":
				return warn(t, d, k)
			case "row":
				obj := decode(t, d, k, d.Input)
				return row(t, d, k, obj)
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

func decode(t *testing.T, d *datadriven.TestData, k *kind.Kind, text string) store.Object {
	t.Helper()
	obj := k.New()
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		d.Fatalf(t, "%v", err)
	}
	return obj
}

func create(t *testing.T, k *kind.Kind, obj store.Object) field.ErrorList {
	if obj.GetName() == "" {
		obj.SetName("x")
	}
	obj.SetUID("0a1b") // the server sets it before PrepareCreate
	if k.Namespaced && obj.GetNamespace() == "" {
		obj.SetNamespace("default")
	}
	k.Default(obj)
	k.PrepareCreate(t.Context(), obj)
	errs := validation.ValidateObjectMetaAccessor(obj, k.Namespaced, k.ValidateName, field.NewPath("metadata"))
	return append(errs, k.Validate(obj)...)
}

func updateScenario(t *testing.T, d *datadriven.TestData, k *kind.Kind, sub string) string {
	before, after, ok := strings.Cut(d.Input, "\n---\n")
	if !ok {
		d.Fatalf(t, "want two documents")
	}
	old, obj := decode(t, d, k, before), decode(t, d, k, after)
	errs := update(t, d, k, old, obj, sub)
	return finish(t, obj, errs, d.HasArg("show"))
}

// update is what the change from old to obj is refused for, through the kind or one of its subresources.
func update(t *testing.T, d *datadriven.TestData, k *kind.Kind, old, obj store.Object, sub string) field.ErrorList {
	for _, o := range []store.Object{old, obj} {
		if o.GetName() == "" {
			o.SetName("x")
		}
		k.Default(o)
	}
	prepare, validate := k.PrepareUpdate, k.ValidateUpdate
	if sub == "status" {
		prepare, validate = k.Status.Prepare, k.Status.Validate
	} else if sub != "" {
		prepare = nil
		for _, s := range k.Subresources {
			if s.Name == sub {
				prepare, validate = s.Rules.Prepare, s.Rules.Validate
			}
		}
	}
	if prepare == nil {
		d.Fatalf(t, "%s has no subresource %s", k.Kind, sub)
	}
	prepare(t.Context(), obj, old)
	return validate(obj, old)
}

// finish prints findings, or ok, or the object. Of a finding with a difference
// only the first line is shown.
func finish(t *testing.T, obj store.Object, errs field.ErrorList, show bool) string {
	t.Helper()
	if len(errs) > 0 {
		lines := make([]string, len(errs))
		for i, e := range errs {
			lines[i], _, _ = strings.Cut(e.Error(), "\n")
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n") + "\n"
	}
	if !show {
		return "ok\n"
	}
	b, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func row(t *testing.T, d *datadriven.TestData, k *kind.Kind, obj store.Object) string {
	t.Helper()
	k.Default(obj)
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
	cells := k.Row(obj, now)
	if len(cells) != len(k.Columns) {
		d.Fatalf(t, "%d cells for %d columns", len(cells), len(k.Columns))
	}
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = fmt.Sprint(c)
	}
	return strings.Join(out, " | ") + "\n"
}

// warn prints the warnings of a create, or of an update from the first document to the second.
func warn(t *testing.T, d *datadriven.TestData, k *kind.Kind) string {
	before, after, update := strings.Cut(d.Input, "\n---\n")
	obj := decode(t, d, k, before)
	create(t, k, obj)
	var old store.Object
	if update {
		old, obj = obj, decode(t, d, k, after)
		create(t, k, obj)
		if k.HasGeneration && k.Generation(obj, old) {
			obj.SetGeneration(old.GetGeneration() + 1)
		}
	}
	out := k.Warnings(obj, old)
	if len(out) == 0 {
		return "none\n"
	}
	return strings.Join(out, "\n") + "\n"
}

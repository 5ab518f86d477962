package kinds

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/kind"
	"hyperkube/store"
)

// TestDescriptors checks what every descriptor must say for the rest of the
// server to work, on the zero object: nothing may panic on it.
func TestDescriptors(t *testing.T) {
	known := scheme.New()
	plurals, prefixes := map[string]bool{}, map[string]string{}
	for _, k := range All() {
		t.Run(k.Group+"/"+k.Kind, func(t *testing.T) {
			if plurals[k.Group+"/"+k.Plural] {
				t.Error("declared twice")
			}
			plurals[k.Group+"/"+k.Plural] = true
			if !known.Recognizes(k.GVK()) {
				t.Errorf("%v is not in the scheme", k.GVK())
			}
			got, _, err := known.ObjectKinds(k.New())
			if err != nil || !slices.Contains(got, k.GVK()) {
				t.Errorf("New makes %v, %v", got, err)
			}
			if k.Singular != strings.ToLower(k.Kind) {
				t.Errorf("singular %q", k.Singular)
			}
			if k.IsVirtual {
				return
			}
			if other, taken := prefixes[k.Resource.Prefix]; taken {
				t.Errorf("shares /registry/%s with %s", k.Resource.Prefix, other)
			}
			prefixes[k.Resource.Prefix] = k.Kind
			exercise(t, k)
		})
	}
}

func exercise(t *testing.T, k *kind.Kind) {
	t.Helper()
	ctx := context.Background()
	o := k.New()
	o.SetName("x")
	o.SetUID("uid")
	if k.Namespaced {
		o.SetNamespace("default")
	}
	k.Default(o)
	k.PrepareCreate(ctx, o)
	k.Validate(o)
	changed := o.DeepCopyObject().(store.Object)
	k.Default(changed)
	k.PrepareUpdate(ctx, changed, o)
	k.ValidateUpdate(changed, o)
	if k.Generation(changed, o) {
		t.Error("defaults are not idempotent: an unchanged object counts as changed")
	}
	if k.Status != nil {
		k.Status.Prepare(ctx, changed, o)
		k.Status.Validate(changed, o)
	}
	if k.HasScale {
		k.ScaleSet(changed, 7)
		if n, _, _ := k.ScaleGet(changed); n != 7 {
			t.Errorf("scale gives %d", n)
		}
	}
	for _, path := range k.FieldPaths {
		if _, ok := k.Field(o, path); !ok {
			t.Errorf("field %s is unknown", path)
		}
	}
	if k.Row == nil {
		return
	}
	if row := k.Row(o, time.Unix(0, 0)); len(row) != len(k.Columns) {
		t.Errorf("%d cells for %d columns", len(row), len(k.Columns))
	}
}

package core

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"

	"hyperkube/store"
)

// Whatever a decoder lets through, no rule of any kind panics, and defaults
// applied twice are defaults applied once.
func FuzzKinds(f *testing.F) {
	all := Kinds()
	index := map[string]uint8{}
	for i, k := range all {
		index[k.Kind] = uint8(i)
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, block := range strings.Split(string(raw), "\n\n") {
			input, _, _ := strings.Cut(block, "\n----")
			_, rest, ok := strings.Cut(input, "kind=")
			if !ok {
				continue
			}
			head, text, _ := strings.Cut(rest, "\n")
			name, _, _ := strings.Cut(head, " ")
			before, after, _ := strings.Cut(text, "\n---\n")
			a, errA := yaml.YAMLToJSON([]byte(before))
			b, errB := yaml.YAMLToJSON([]byte(after))
			if errA == nil && errB == nil {
				f.Add(index[name], a, b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, before, after []byte) {
		k := all[int(which)%len(all)]
		old, obj := k.New(), k.New()
		if json.Unmarshal(before, old) != nil || json.Unmarshal(after, obj) != nil {
			return
		}
		for _, o := range []store.Object{old, obj} {
			k.Default(o)
			again := o.DeepCopyObject().(store.Object)
			k.Default(again)
			if !equality.Semantic.DeepEqual(o, again) {
				t.Fatalf("%s: defaults are not idempotent:\n%v\n%v", k.Kind, o, again)
			}
		}
		fresh := obj.DeepCopyObject().(store.Object)
		k.PrepareCreate(t.Context(), fresh)
		k.Validate(fresh)
		k.Warnings(fresh, nil)
		changed := obj.DeepCopyObject().(store.Object)
		k.PrepareUpdate(t.Context(), changed, old)
		k.Generation(changed, old)
		k.ValidateUpdate(changed, old)
		if k.Status != nil {
			changed = obj.DeepCopyObject().(store.Object)
			k.Status.Prepare(t.Context(), changed, old)
			k.Status.Validate(changed, old)
		}
		for _, s := range k.Subresources {
			if s.Rules != nil {
				changed = obj.DeepCopyObject().(store.Object)
				s.Rules.Prepare(t.Context(), changed, old)
				s.Rules.Validate(changed, old)
			}
		}
		if k.Row != nil {
			k.Row(obj, time.Time{})
		}
		for _, path := range k.FieldPaths {
			k.Field(obj, path)
		}
	})
}

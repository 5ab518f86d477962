package structure

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/schema"

	"hyperkube/api/scheme"
)

var rewrite = flag.Bool("rewrite", false, "write the table anew from client-go's schema")

// TestTable holds the table equal to the schema it was taken from.
func TestTable(t *testing.T) {
	pod := &corev1.Pod{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	v, err := applyconfigurations.NewTypeConverter(scheme.New()).ObjectToTyped(pod)
	if err != nil {
		t.Fatal(err)
	}
	want := render(v.Schema())
	if *rewrite {
		if err := os.WriteFile("structure.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, text); d != "" {
		t.Errorf("run with -rewrite:\n%s", d)
	}
}

func render(s *schema.Schema) string {
	var lines []string
	for _, d := range s.Types {
		if d.Map == nil || strings.HasPrefix(d.Name, "_") {
			continue
		}
		if d.Map.ElementRelationship == schema.Atomic {
			lines = append(lines, d.Name+" atomic")
		}
		for _, f := range d.Map.Fields {
			if word := relation(s, f.Type); word != "" {
				lines = append(lines, d.Name+"#"+f.Name+" "+word)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// relation is empty for what a reader of the Go types assumes: lists atomic,
// maps and structs granular.
func relation(s *schema.Schema, r schema.TypeRef) string {
	if r.ElementRelationship != nil {
		return string(*r.ElementRelationship)
	}
	switch {
	case r.Inlined.List != nil && r.Inlined.List.ElementRelationship == schema.Associative:
		if len(r.Inlined.List.Keys) == 0 {
			return "set"
		}
		return "map " + strings.Join(r.Inlined.List.Keys, ",")
	case r.Inlined.Map != nil && r.Inlined.Map.ElementRelationship == schema.Atomic:
		return "atomic"
	}
	if r.NamedType != nil {
		if a, ok := s.Resolve(r); ok && a.Map != nil && a.List != nil {
			return "deduced"
		}
	}
	return ""
}

package conformance

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/conformance.md")

// TestRegistry checks that each behaviour is about exactly one published entry.
func TestRegistry(t *testing.T) {
	entries, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 446 {
		t.Errorf("%d published entries, want 446", len(entries))
	}
	seen := map[string]bool{}
	for _, b := range behaviours() {
		e, err := find(entries, b)
		if err != nil {
			t.Error(err)
			continue
		}
		if seen[e.Code] {
			t.Errorf("%q (%s) is listed twice", e.Name, e.Code)
		}
		seen[e.Code] = true
		if b.run == nil {
			t.Errorf("%q does nothing", e.Name)
		}
	}
}

// TestDocument checks that docs/conformance.md is what the lists say.
func TestDocument(t *testing.T) {
	entries, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	want, err := document(entries, behaviours())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "conformance.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("docs/conformance.md is stale: run go test ./test/conformance -run TestDocument -update\n%s", d)
	}
}

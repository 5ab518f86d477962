package controllers

import (
	"os"
	"regexp"
	"testing"
)

// TestTheListSaysWhatIsServed: docs/controllers.md names every controller there is as served, and
// no other.
func TestTheListSaysWhatIsServed(t *testing.T) {
	text, err := os.ReadFile("../docs/controllers.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z-]+-controller) \| ([a-z ]+) \|`).FindAllStringSubmatch(string(text), -1) {
		if said[row[1]] != "" {
			t.Errorf("%s stands there twice", row[1])
		}
		said[row[1]] = row[2]
	}
	for _, d := range All() {
		if have := said[d.Name]; have != "served" && have != "our own" {
			t.Errorf("%s is served, the list says %q", d.Name, have)
		}
		delete(said, d.Name)
	}
	for name, have := range said {
		if have == "served" || have == "our own" {
			t.Errorf("the list says that %s is served", name)
		}
	}
	if len(said) == 0 {
		t.Error("the list is not read")
	}
}

package conformance

import (
	_ "embed"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// published is the list as Kubernetes publishes it with v1.37.
//
//go:embed conformance.yaml
var published []byte

// entry is one published behaviour.
type entry struct {
	Name        string `json:"testname"`
	Code        string `json:"codename"`
	Description string `json:"description"`
	Release     string `json:"release"`
}

func catalogue() ([]entry, error) {
	var all []entry
	if err := yaml.Unmarshal(published, &all); err != nil {
		return nil, fmt.Errorf("reading conformance.yaml: %w", err)
	}
	return all, nil
}

// find returns the one entry that b is about.
func find(all []entry, b behaviour) (entry, error) {
	var found []entry
	for _, e := range all {
		if e.Name == b.name && strings.Contains(e.Code, b.code) {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		return entry{}, fmt.Errorf("%q with code %q names %d entries, want 1", b.name, b.code, len(found))
	}
	return found[0], nil
}

// area is the codename's group, such as sig-node.
func (e entry) area() string {
	_, rest, _ := strings.Cut(e.Code, "[")
	sig, _, _ := strings.Cut(rest, "]")
	return sig
}

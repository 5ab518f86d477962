package document

import (
	"bytes"
	"fmt"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"hyperkube/internal/bounds"
)

// FromYAML turns YAML (of which JSON is a part) into JSON. Aliases and merge keys are
// written out only when that stays within the bounds. An error of the YAML itself comes as
// the library tells it.
func FromYAML(data []byte) ([]byte, error) {
	if err := CheckYAML(data); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(data)
}

// CheckYAML reports what FromYAML would refuse, for those who decode YAML themselves. The
// error is an *Excess or a *Malformed; what is no YAML passes.
func CheckYAML(data []byte) error {
	aliases := bytes.IndexByte(data, '*') >= 0 && bytes.IndexByte(data, '&') >= 0
	if !aliases && !mayNest(data) {
		return nil
	}
	var root yamlv3.Node
	if yamlv3.Unmarshal(data, &root) != nil {
		return nil
	}
	m := measurer{done: map[*yamlv3.Node]extent{}, open: map[*yamlv3.Node]bool{}}
	_, err := m.node(&root)
	return err
}

// mayNest says whether data could nest too deep: in flow style each level has a bracket,
// in block style each has an indentation of its own or a dash.
func mayNest(data []byte) bool {
	if bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > bounds.Depth {
		return true
	}
	run := 0
	for _, c := range data {
		switch c {
		case ' ', '-', '\t', '?':
			if run++; run > bounds.Depth/2 {
				return true
			}
		default:
			run = 0
		}
	}
	return false
}

// extent is what a node becomes once everything is written out.
type extent struct{ bytes, depth int }

type measurer struct {
	done map[*yamlv3.Node]extent
	open map[*yamlv3.Node]bool // nodes being measured: an alias to one never ends
}

func (m *measurer) node(n *yamlv3.Node) (extent, error) {
	if e, ok := m.done[n]; ok {
		return e, nil
	}
	if m.open[n] {
		return extent{}, &Malformed{"", fmt.Sprintf("line %d: an anchor contains itself", n.Line)}
	}
	m.open[n] = true
	defer delete(m.open, n)
	e := extent{bytes: len(n.Value) + 2}
	children := n.Content
	if n.Kind == yamlv3.AliasNode {
		children = []*yamlv3.Node{n.Alias}
	}
	for _, c := range children {
		of, err := m.node(c)
		if err != nil {
			return e, err
		}
		e.bytes += of.bytes
		e.depth = max(e.depth, of.depth)
		if e.bytes > bounds.Expanded {
			return e, &Excess{"bytes after aliases are written out", bounds.Expanded}
		}
	}
	if n.Kind == yamlv3.MappingNode || n.Kind == yamlv3.SequenceNode {
		if e.depth++; e.depth > bounds.Depth {
			return e, &Malformed{"", fmt.Sprintf("nested deeper than %d levels", bounds.Depth)}
		}
	}
	m.done[n] = e
	return e, nil
}

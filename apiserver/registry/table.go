package registry

import (
	"maps"
	"net/http"
	"slices"

	"hyperkube/apiserver/kind"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Table is what is served at one time. It never changes.
type Table struct {
	kinds      []held
	byGVR      map[schema.GroupVersionResource]*Served
	groups     []*Group
	elsewhere  map[schema.GroupVersion]http.Handler
	superseded chan struct{}
}

// held is a kind and what is served of it: its stored version first, unless hidden.
type held struct {
	kind   *kind.Kind
	served []*Served
}

// Group is an API group: its versions in the order of preference.
type Group struct {
	Name     string
	Versions []*Version
}

// Version is a group-version: its resources in the order of their declaration.
type Version struct {
	schema.GroupVersion
	Resources []*Served
}

// Where a group-version is served.
type Where int

// The answers to who serves a group-version.
const (
	Nobody Where = iota
	Here
	Elsewhere
)

// Find is the resource in that group-version, nil when it is not served here.
func (t *Table) Find(gvr schema.GroupVersionResource) *Served { return t.byGVR[gvr] }

// Groups with their versions and resources, in the order of their declaration.
// Of two groups with a resource of the same name the first is what a bare name means.
func (t *Table) Groups() []*Group { return t.groups }

// Kinds held, hidden ones included, in the order of their declaration.
func (t *Table) Kinds() []*kind.Kind {
	out := make([]*kind.Kind, len(t.kinds))
	for i := range t.kinds {
		out[i] = t.kinds[i].kind
	}
	return out
}

// Who serves the group-version; the handler is that of another server.
func (t *Table) Who(gv schema.GroupVersion) (Where, http.Handler) {
	if len(t.elsewhere) > 0 {
		if h := t.elsewhere[gv]; h != nil {
			return Elsewhere, h
		}
	}
	if t.version(gv) != nil {
		return Here, nil
	}
	return Nobody, nil
}

// Superseded is closed when there is a newer table.
func (t *Table) Superseded() <-chan struct{} { return t.superseded }

func (t *Table) version(gv schema.GroupVersion) *Version {
	for _, g := range t.groups {
		if g.Name != gv.Group {
			continue
		}
		for _, v := range g.Versions {
			if v.Version == gv.Version {
				return v
			}
		}
	}
	return nil
}

// newTable arranges kinds. Versions and groups that are as in before are taken from there.
func newTable(before *Table, kinds []held, elsewhere map[schema.GroupVersion]http.Handler) *Table {
	t := &Table{
		kinds: kinds, byGVR: map[schema.GroupVersionResource]*Served{},
		elsewhere: elsewhere, superseded: make(chan struct{}),
	}
	for _, k := range kinds {
		for _, s := range k.served {
			t.byGVR[s.Names.GVR()] = s
			v := t.version(s.Names.GVK().GroupVersion())
			if v == nil {
				v = t.addVersion(s.Names.GVK().GroupVersion())
			}
			v.Resources = append(v.Resources, s)
		}
	}
	if before != nil {
		for i, g := range t.groups {
			t.groups[i] = keep(before, g)
		}
	}
	return t
}

func (t *Table) addVersion(gv schema.GroupVersion) *Version {
	at := slices.IndexFunc(t.groups, func(g *Group) bool { return g.Name == gv.Group })
	if at < 0 {
		at = len(t.groups)
		t.groups = append(t.groups, &Group{Name: gv.Group})
	}
	v := &Version{GroupVersion: gv}
	t.groups[at].Versions = append(t.groups[at].Versions, v)
	return v
}

// keep gives the group, or those of its versions, that before had in the same form.
func keep(before *Table, g *Group) *Group {
	at := slices.IndexFunc(before.groups, func(o *Group) bool { return o.Name == g.Name })
	if at < 0 {
		return g
	}
	for i, v := range g.Versions {
		if old := before.version(v.GroupVersion); old != nil && slices.Equal(old.Resources, v.Resources) {
			g.Versions[i] = old
		}
	}
	if old := before.groups[at]; slices.Equal(old.Versions, g.Versions) {
		return old
	}
	return g
}

func with(m map[schema.GroupVersion]http.Handler, gv schema.GroupVersion, h http.Handler) map[schema.GroupVersion]http.Handler {
	out := maps.Clone(m)
	if out == nil {
		out = map[schema.GroupVersion]http.Handler{}
	}
	if out[gv] = h; h == nil {
		delete(out, gv)
	}
	return out
}

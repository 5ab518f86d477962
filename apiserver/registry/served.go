package registry

import (
	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/kind"
	"hyperkube/store"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Served is a resource in one of its group-versions. It never changes.
type Served struct {
	Kind       *kind.Kind
	Version    *kind.Version // nil for the stored one
	Names      kind.Names    // of this group-version
	View       *codec.View
	Collection store.Collection // nil for virtual kinds
	subs       map[string]*kind.Subresource
}

// GroupResource of this group-version, as errors name it.
func (s *Served) GroupResource() schema.GroupResource { return s.Names.GVR().GroupResource() }

// Subresource finds one of those declared by name; status and scale are not among them.
func (s *Served) Subresource(name string) *kind.Subresource { return s.subs[name] }

// Has reports whether there is such a subresource; "" is the resource itself.
func (s *Served) Has(sub string) bool {
	switch sub {
	case "":
		return true
	case "status":
		return s.Kind.HasStatus || s.subs[sub] != nil
	case "scale":
		return s.Kind.HasScale || s.subs[sub] != nil
	}
	return s.subs[sub] != nil
}

// New makes an empty object of this version.
func (s *Served) New() runtime.Object {
	if s.Version != nil {
		return s.Version.New()
	}
	return s.Kind.New()
}

// NewList makes an empty list of this version, nil for what is not listed.
func (s *Served) NewList() runtime.Object {
	switch {
	case s.Version != nil:
		return s.Version.NewList()
	case s.Kind.NewList == nil || s.Kind.IsVirtual:
		return nil
	}
	return s.Kind.NewList()
}

// Stored turns an object of this version into the stored type.
func (s *Served) Stored(o runtime.Object) (store.Object, error) {
	if s.Version != nil {
		return s.Version.From(o)
	}
	return o.(store.Object), nil
}

// serve makes what is served of k. The collection is set before anybody else has it.
func serve(k *kind.Kind, scheme *runtime.Scheme, hidden func(schema.GroupVersionResource) bool) ([]*Served, error) {
	subs := map[string]*kind.Subresource{}
	for i := range k.Subresources {
		subs[k.Subresources[i].Name] = &k.Subresources[i]
	}
	var out []*Served
	add := func(s *Served, view *codec.View, err error) error {
		if err == nil && !hidden(s.Names.GVR()) {
			s.View = view
			out = append(out, s)
		}
		return err
	}
	view, err := codec.StoredView(k, scheme)
	if err := add(&Served{Kind: k, Names: k.Names, subs: subs}, view, err); err != nil {
		return nil, err
	}
	for i := range k.Versions {
		view, err := codec.VersionView(k, i, scheme)
		if err := add(&Served{Kind: k, Version: &k.Versions[i], Names: k.Versions[i].Names, subs: subs}, view, err); err != nil {
			return nil, err
		}
	}
	return out, nil
}

package discovery

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/registry"
)

// group and version are what the registry says, sorted for printing: groups
// in the order of the list, the first declared version preferred, resources by name.
type group struct {
	name     string
	versions []*version
}

type version struct {
	name      string
	resources []resource
}

type resource struct {
	names  kind.Names
	verbs  []string
	stored schema.GroupVersionKind // zero when nothing is stored
	subs   []subresource
}

type subresource struct {
	name  string
	gvk   schema.GroupVersionKind
	verbs []string
}

// describe says of a group what clients are told.
func describe(rg *registry.Group) *group {
	g := &group{name: rg.Name}
	for _, rv := range rg.Versions {
		v := &version{name: rv.Version}
		for _, s := range rv.Resources {
			v.add(s)
		}
		slices.SortFunc(v.resources, func(a, b resource) int { return strings.Compare(a.names.Plural, b.names.Plural) })
		g.versions = append(g.versions, v)
	}
	return g
}

func (v *version) add(s *registry.Served) {
	r := resource{names: s.Names, verbs: slices.Sorted(slices.Values(s.Kind.Verbs)), subs: subresources(s.Kind, s.Names)}
	if !s.Kind.IsVirtual {
		r.stored = s.Kind.GVK()
	}
	v.resources = append(v.resources, r)
}

func subresources(k *kind.Kind, n kind.Names) []subresource {
	update := []string{"get", "patch", "update"}
	var subs []subresource
	if k.HasStatus {
		subs = append(subs, subresource{"status", n.GVK(), update})
	}
	if k.HasScale {
		subs = append(subs, subresource{"scale", schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, update})
	}
	for _, s := range k.Subresources {
		verbs := slices.Clone(s.Connect)
		if s.Create != nil {
			verbs = append(verbs, "create")
		}
		switch {
		case s.Rules != nil && s.Name == "finalize":
			verbs = append(verbs, "update")
		case s.Rules != nil:
			verbs = append(verbs, update...)
		}
		slices.Sort(verbs)
		subs = append(subs, subresource{s.Name, s.GVK, slices.Compact(verbs)})
	}
	slices.SortFunc(subs, func(a, b subresource) int { return strings.Compare(a.name, b.name) })
	return subs
}

// storageHash names the stored version, so that a client notices when it changes.
func storageHash(gvk schema.GroupVersionKind) string {
	if gvk.Kind == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(gvk.Group + "/" + gvk.Version + "/" + gvk.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}

func (g *group) plain() metav1.APIGroup {
	out := metav1.APIGroup{Name: g.name}
	for _, v := range g.versions {
		gv := schema.GroupVersion{Group: g.name, Version: v.name}
		out.Versions = append(out.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v.name})
	}
	out.PreferredVersion = out.Versions[0]
	return out
}

func (v *version) plain(groupName string) *metav1.APIResourceList {
	gv := schema.GroupVersion{Group: groupName, Version: v.name}
	list := &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList"}, GroupVersion: gv.String(), APIResources: []metav1.APIResource{},
	}
	if groupName != "" {
		list.APIVersion = "v1"
	}
	for _, r := range v.resources {
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: r.names.Plural, SingularName: r.names.Singular, Namespaced: r.names.Namespaced, Kind: r.names.Kind,
			Verbs: r.verbs, ShortNames: r.names.ShortNames, Categories: r.names.Categories, StorageVersionHash: storageHash(r.stored),
		})
		for _, s := range r.subs {
			x := metav1.APIResource{Name: r.names.Plural + "/" + s.name, Namespaced: r.names.Namespaced, Kind: s.gvk.Kind, Verbs: s.verbs}
			if s.gvk.GroupVersion() != gv {
				x.Group, x.Version = s.gvk.Group, s.gvk.Version
			}
			list.APIResources = append(list.APIResources, x)
		}
	}
	return list
}

func (g *group) aggregated() apidiscoveryv2.APIGroupDiscovery {
	out := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
	for _, v := range g.versions {
		one := apidiscoveryv2.APIVersionDiscovery{Version: v.name, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
		for _, r := range v.resources {
			one.Resources = append(one.Resources, r.aggregated())
		}
		out.Versions = append(out.Versions, one)
	}
	return out
}

func (r *resource) aggregated() apidiscoveryv2.APIResourceDiscovery {
	scope := apidiscoveryv2.ScopeCluster
	if r.names.Namespaced {
		scope = apidiscoveryv2.ScopeNamespace
	}
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: r.names.Plural, ResponseKind: kindOf(r.names.GVK()), Scope: scope, SingularResource: r.names.Singular,
		Verbs: r.verbs, ShortNames: r.names.ShortNames, Categories: r.names.Categories,
	}
	for _, s := range r.subs {
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: s.name, ResponseKind: kindOf(s.gvk), Verbs: s.verbs})
	}
	return out
}

func kindOf(gvk schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
}

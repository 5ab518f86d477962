package openapi

import (
	"slices"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/registry"
)

// served is a kind in one of its versions.
type served struct {
	kind.Names
	k         *kind.Kind
	one, list any // pointers to the Go types; list is nil for what is not listed
}

func servedIn(v *registry.Version) []served {
	var out []served
	for _, r := range v.Resources {
		s := served{Names: r.Names, k: r.Kind, one: r.New()}
		if list := r.NewList(); list != nil {
			s.list = list
		}
		out = append(out, s)
	}
	return out
}

// paths describes the operations of a group-version and collects their types.
func (b *types) paths(v *registry.Version) object {
	out, gv := object{}, v.GroupVersion
	b.served(&metav1.DeleteOptions{}, gv.WithKind("DeleteOptions"))
	b.served(&metav1.WatchEvent{}, gv.WithKind("WatchEvent"))
	for _, s := range servedIn(v) {
		b.resource(out, gv, s)
	}
	return out
}

func (b *types) resource(out object, gv schema.GroupVersion, s served) {
	root := "/apis/" + gv.Group + "/" + gv.Version
	if gv.Group == "" {
		root = "/api/" + gv.Version
	}
	var params []any
	collection := root + "/" + s.Plural
	if s.Namespaced {
		if s.list != nil {
			b.put(out, collection, nil, operation{verb: "list", s: s})
		}
		collection = root + "/namespaces/{namespace}/" + s.Plural
		params = append(params, b.pathParam("namespace", "object name and auth scope, such as for teams and projects"))
	}
	one := collection + "/{name}"
	named := append(slices.Clone(params), b.pathParam("name", "name of the "+s.Kind))
	for _, verb := range s.k.Verbs {
		at, ps := one, named
		if verb == "list" || verb == "create" || verb == "deletecollection" {
			at, ps = collection, params
		}
		if verb != "watch" {
			b.put(out, at, ps, operation{verb: verb, s: s})
		}
	}
	b.subresources(out, one, named, s)
}

func (b *types) subresources(out object, one string, params []any, s served) {
	edit := []string{"get", "update", "patch"}
	if s.k.HasStatus {
		b.put(out, one+"/status", params, operations(edit, operation{s: s, sub: "status"})...)
	}
	if s.k.HasScale {
		scale := served{Names: kind.Names{Group: "autoscaling", Version: "v1", Kind: "Scale", Namespaced: s.Namespaced, Plural: s.Plural}, k: s.k, one: &autoscalingv1.Scale{}}
		b.put(out, one+"/scale", params, operations(edit, operation{s: scale, sub: "scale"})...)
	}
	for _, x := range s.k.Subresources {
		body := served{Names: kind.Names{Group: x.GVK.Group, Version: x.GVK.Version, Kind: x.GVK.Kind, Namespaced: s.Namespaced, Plural: s.Plural}, k: s.k}
		if x.New != nil {
			body.one = x.New()
		}
		switch {
		case x.Rules != nil:
			body.one = s.one
			b.put(out, one+"/"+x.Name, params, operations(edit, operation{s: body, sub: x.Name})...)
		case x.Create != nil:
			b.put(out, one+"/"+x.Name, params, operation{verb: "create", s: body, sub: x.Name})
		default:
			b.put(out, one+"/"+x.Name, params, operations(x.Connect, operation{s: body, sub: x.Name, connect: true})...)
		}
	}
}

func operations(verbs []string, like operation) []operation {
	var out []operation
	for _, v := range verbs {
		like.verb = v
		out = append(out, like)
	}
	return out
}

// put adds operations to a path.
func (b *types) put(out object, path string, params []any, ops ...operation) {
	item, ok := out[path].(object)
	if !ok {
		item = object{"parameters": append(slices.Clone(params), b.queryParam("pretty", "string", "If 'true', then the output is pretty printed."))}
		out[path] = item
	}
	for _, op := range ops {
		item[method(op.verb)] = b.operation(op, len(params) == 0 && op.verb == "list" && op.s.Namespaced)
	}
}

func method(verb string) string {
	switch verb {
	case "create":
		return "post"
	case "update":
		return "put"
	case "patch":
		return "patch"
	case "delete", "deletecollection":
		return "delete"
	}
	return "get"
}

// action is the verb as x-kubernetes-action names it.
func (op operation) action() string {
	switch {
	case op.connect:
		return "connect"
	case op.verb == "create":
		return "post"
	case op.verb == "update":
		return "put"
	}
	return op.verb
}

// operationID is what generated clients are named after.
func (op operation) operationID(everywhere bool) string {
	group, _, _ := strings.Cut(op.s.k.Group, ".")
	if group == "" {
		group = "core"
	}
	word := map[string]string{"create": "create", "update": "replace", "patch": "patch", "get": "read", "list": "list", "delete": "delete", "deletecollection": "delete"}[op.verb]
	if op.connect {
		word = "connect" + title(method(op.verb))
	}
	id := word + title(group) + title(op.s.k.Version)
	if op.verb == "deletecollection" {
		id += "Collection"
	}
	if op.s.Namespaced && !everywhere {
		id += "Namespaced"
	}
	id += op.s.k.Kind + title(op.sub)
	if everywhere {
		id += "ForAllNamespaces"
	}
	return id
}

func title(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

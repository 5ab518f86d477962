package openapi

import (
	"maps"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// operation is one verb on one path.
type operation struct {
	verb    string
	sub     string
	connect bool
	s       served
}

var answerMedia = [...]string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}

var patchMedia = [...]string{
	"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
}

func (b *types) operation(op operation, everywhere bool) object {
	gvk := op.s.GVK()
	o := object{
		"operationId":                     op.operationID(everywhere),
		"description":                     op.action() + " " + op.s.Kind,
		"tags":                            []string{tag(op.s.k.GVK().GroupVersion())},
		"x-kubernetes-action":             op.action(),
		"x-kubernetes-group-version-kind": extension(gvk),
	}
	params := b.parameters(op)
	body, bodyMedia := b.body(op)
	if body != nil {
		if b.shape == three {
			content := object{}
			for _, m := range bodyMedia {
				content[m] = object{"schema": body}
			}
			o["requestBody"] = object{"content": content, "required": op.verb != "delete" && op.verb != "deletecollection"}
		} else {
			params = append(params, object{"name": "body", "in": "body", "schema": body, "required": op.verb != "delete" && op.verb != "deletecollection"})
			o["consumes"] = bodyMedia
		}
	}
	if len(params) > 0 {
		o["parameters"] = params
	}
	if b.shape == two {
		o["produces"], o["schemes"] = answerMedia, []string{"https"}
	}
	o["responses"] = b.responses(op)
	return o
}

func tag(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "core_" + gv.Version
	}
	name := gv.Group
	for i, c := range name {
		if c == '.' {
			name = name[:i]
			break
		}
	}
	return name + "_" + gv.Version
}

// body is the schema of what the client sends, with its media types.
func (b *types) body(op operation) (object, []string) {
	if op.connect {
		return nil, nil
	}
	switch op.verb {
	case "create", "update":
		if op.s.one == nil {
			return nil, nil
		}
		return b.served(op.s.one, op.s.GVK()), []string{"*/*"}
	case "patch":
		return b.ref(reflect.TypeFor[metav1.Patch]()), patchMedia[:]
	case "delete", "deletecollection":
		return b.ref(reflect.TypeFor[metav1.DeleteOptions]()), []string{"*/*"}
	}
	return nil, nil
}

func (b *types) responses(op operation) object {
	var s object
	switch {
	case op.connect || op.s.one == nil:
		s = object{"type": "string"}
	case op.verb == "list":
		s = b.served(op.s.list, op.s.GVK().GroupVersion().WithKind(op.s.Kind+"List"))
	case op.verb == "deletecollection" || op.verb == "delete" && !op.s.k.ReturnDeleted:
		s = b.served(&metav1.Status{}, schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	default:
		s = b.served(op.s.one, op.s.GVK())
	}
	answer := func(text string) object {
		if b.shape == two {
			return object{"description": text, "schema": maps.Clone(s)}
		}
		content := object{}
		for _, m := range answerMedia {
			content[m] = object{"schema": maps.Clone(s)}
		}
		return object{"description": text, "content": content}
	}
	out := object{"200": answer("OK"), "401": object{"description": "Unauthorized"}}
	switch op.verb {
	case "create":
		out["201"], out["202"] = answer("Created"), answer("Accepted")
	case "update", "patch":
		out["201"] = answer("Created")
	case "delete":
		out["202"] = answer("Accepted")
	}
	return out
}

// parameters are the query parameters of a verb.
func (b *types) parameters(op operation) []any {
	if op.connect {
		return nil
	}
	var names []string
	write := []string{"dryRun", "fieldManager", "fieldValidation"}
	list := []string{"allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"}
	remove := []string{"dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents", "propagationPolicy"}
	switch op.verb {
	case "create", "update":
		names = write
	case "patch":
		names = slices.Concat(write, []string{"force"})
	case "list":
		names = list
	case "delete":
		names = remove
	case "deletecollection":
		names = slices.Concat(remove, []string{"continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds"})
	}
	var out []any
	for _, n := range names {
		out = append(out, b.queryParam(n, paramType(n), paramDoc(n)))
	}
	return out
}

func paramType(name string) string {
	switch name {
	case "allowWatchBookmarks", "sendInitialEvents", "watch", "force", "orphanDependents", "ignoreStoreReadErrorWithClusterBreakingPotential":
		return "boolean"
	case "limit", "timeoutSeconds", "gracePeriodSeconds":
		return "integer"
	}
	return "string"
}

// paramDoc is the documentation that the option types carry.
func paramDoc(name string) string {
	for _, doc := range []map[string]string{
		metav1.ListOptions{}.SwaggerDoc(), metav1.DeleteOptions{}.SwaggerDoc(), metav1.PatchOptions{}.SwaggerDoc(), metav1.CreateOptions{}.SwaggerDoc(),
	} {
		if text := doc[name]; text != "" {
			return text
		}
	}
	return ""
}

func (b *types) queryParam(name, kind, text string) object {
	p := object{"name": name, "in": "query", "description": text}
	if b.shape == three {
		p["schema"] = object{"type": kind, "uniqueItems": true}
	} else {
		p["type"], p["uniqueItems"] = kind, true
	}
	return p
}

func (b *types) pathParam(name, text string) object {
	p := b.queryParam(name, "string", text)
	p["in"], p["required"] = "path", true
	return p
}

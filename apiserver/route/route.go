// Package route reads a request line: it turns method, path and query into a
// request.Info. It is pure, allocates one Info and never fails; what it cannot
// place in the API is a non-resource request.
//
//	GET  /api/v1/namespaces/ns/pods/web/log      get    pods/log  ns/web
//	GET  /apis/apps/v1/deployments?watch=1       watch  deployments
//	GET  /api/v1/namespaces/ns/pods/web/proxy/a  get    pods/proxy  rest "a"
//	GET  /healthz                                get    (no resource)
//
// Authorizers, admission, verbs and connections read the Info and nothing else
// of path and selectors, so that what is served is what was authorized.
package route

import (
	"net/http"
	"net/url"
	"strings"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"

	"k8s.io/apimachinery/pkg/fields"
)

// Parse tells what r asks for.
func Parse(r *http.Request) *request.Info {
	info := &request.Info{Path: r.URL.Path, Verb: strings.ToLower(r.Method)}
	rest := strings.Trim(r.URL.Path, "/")
	prefix, rest := cut(rest)
	switch prefix {
	case "api":
		info.APIPrefix = prefix
	case "apis":
		info.APIPrefix = prefix
		info.Group, rest = cut(rest)
	default:
		return info
	}
	info.Version, rest = cut(rest)
	if rest == "" {
		return info // a discovery document
	}
	info.IsResource = true
	info.Verb = verbOf(r.Method)
	if head, tail := cut(rest); head == "watch" && tail != "" { // the old form of a watch, whatever the method
		rest, info.Verb = tail, "watch"
	}
	parseResource(info, rest)
	if info.Name == "" && info.Subresource != "" {
		return info // pods//log: of no object, and a selector names none for it
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete {
		refineCollection(info, r.URL)
	}
	return info
}

func verbOf(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	case http.MethodGet, http.MethodHead:
		return "get"
	}
	return ""
}

// parseResource reads [namespaces/<ns>/]<resource>[/<name>[/<subresource>[/rest]]].
func parseResource(info *request.Info, rest string) {
	head, tail := cut(rest)
	if head == "namespaces" && tail != "" {
		ns, after := cut(tail)
		next, _ := cut(after)
		if next != "" && next != "status" && next != "finalize" {
			info.Namespace = ns
			head, tail = cut(after)
		} else {
			info.Namespace = ns // requests for one namespace are authorized inside it
		}
	}
	info.Resource = head
	info.Name, tail = cut(tail)
	info.Subresource, info.Rest = cut(tail)
}

// refineCollection tells list from get, finds watches, and takes the name out of
// a metadata.name selector, by which authorizers narrow list and watch.
func refineCollection(info *request.Info, u *url.URL) {
	if info.Name != "" && info.Verb != "watch" {
		return
	}
	switch info.Verb {
	case "get":
		info.Verb = "list"
	case "delete":
		info.Verb = "deletecollection"
	}
	if u.RawQuery == "" {
		return
	}
	q := u.Query()
	if info.Verb == "list" && isTrue(q, "watch") {
		info.Verb = "watch"
	}
	info.LabelSelector, info.FieldSelector = q.Get("labelSelector"), q.Get("fieldSelector")
	if info.Name == "" {
		info.Name = SelectedName(info.FieldSelector)
	}
}

// SelectedName is the one name that a field selector lets through, or "". One that is
// too long to be served is not read: nobody is known yet who sent it.
func SelectedName(fieldSelector string) string {
	if fieldSelector == "" || len(fieldSelector) > bounds.Selector {
		return ""
	}
	sel, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return ""
	}
	name, _ := sel.RequiresExactMatch("metadata.name")
	return name
}

func isTrue(q url.Values, key string) bool {
	v, ok := q[key]
	return ok && len(v) > 0 && !strings.EqualFold(v[0], "false") && v[0] != "0"
}

func cut(path string) (head, tail string) {
	head, tail, _ = strings.Cut(path, "/")
	return head, tail
}

package authz

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"hyperkube/apiserver/request"
)

// verbs of the API as bits; others are compared as strings.
type verbs uint32

const anyVerb verbs = 1 << 31

func verbBit(v string) verbs {
	switch v {
	case "get":
		return 1
	case "list":
		return 2
	case "watch":
		return 4
	case "create":
		return 8
	case "update":
		return 16
	case "patch":
		return 32
	case "delete":
		return 64
	case "deletecollection":
		return 128
	case "*":
		return anyVerb
	}
	return 0
}

// rule is a PolicyRule prepared for matching; it refers to the stored one.
type rule struct {
	*rbacv1.PolicyRule
	bits      verbs
	anyGroup  bool
	anyObject bool // resources has "*"
}

func compile(in []rbacv1.PolicyRule) []rule {
	out := make([]rule, len(in))
	for i := range in {
		r := rule{PolicyRule: &in[i]}
		for _, v := range r.Verbs {
			r.bits |= verbBit(v)
		}
		r.anyGroup = slices.Contains(r.APIGroups, "*")
		r.anyObject = slices.Contains(r.Resources, "*")
		out[i] = r
	}
	return out
}

// question is a request prepared for matching.
type question struct {
	*request.Info
	bit      verbs
	combined string // resource/subresource, or the resource alone
}

func newQuestion(i *request.Info) question {
	q := question{Info: i, bit: verbBit(i.Verb), combined: i.Resource}
	if i.Subresource != "" {
		q.combined = i.Resource + "/" + i.Subresource
	}
	return q
}

func (r *rule) allows(q *question) bool {
	if r.bits&(q.bit|anyVerb) == 0 && (q.bit != 0 || !slices.Contains(r.Verbs, q.Verb)) {
		return false
	}
	if !q.IsResource {
		return r.allowsPath(q.Path)
	}
	return (r.anyGroup || slices.Contains(r.APIGroups, q.Group)) &&
		(r.anyObject || r.allowsResource(q)) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.Name))
}

// allowsResource: "pods", "pods/log" or "*/scale".
func (r *rule) allowsResource(q *question) bool {
	for _, res := range r.Resources {
		if res == q.combined {
			return true
		}
		if q.Subresource != "" && len(res) == len(q.Subresource)+2 && strings.HasPrefix(res, "*/") && res[2:] == q.Subresource {
			return true
		}
	}
	return false
}

// allowsPath: an exact path or a prefix that ends in "*".
func (r *rule) allowsPath(path string) bool {
	for _, u := range r.NonResourceURLs {
		if u == "*" || u == path {
			return true
		}
		if prefix, ok := strings.CutSuffix(u, "*"); ok && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

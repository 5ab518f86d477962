// Package abac decides by a policy file, one JSON object a line
// (--authorization-policy-file):
//
//	{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy",
//	 "spec":{"user":"ann","namespace":"web","resource":"pods","readonly":true}}
//
// Contract: the file is read once, at start; a line that is not a policy is an
// error that names it. A policy allows, none denies: the first that fits counts.
// "*" stands for everything; what a policy leaves out fits nothing but itself.
package abac

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
)

const apiVersion = "abac.authorization.kubernetes.io/v1beta1"

type spec struct {
	User            string `json:"user"`
	Group           string `json:"group"`
	Readonly        bool   `json:"readonly"`
	APIGroup        string `json:"apiGroup"`
	Resource        string `json:"resource"`
	Namespace       string `json:"namespace"`
	NonResourcePath string `json:"nonResourcePath"`
}

type policy struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       spec   `json:"spec"`
}

// Policies is the authorizer.
type Policies []spec

var (
	_ request.Authorizer = Policies(nil)
	_ request.RuleLister = Policies(nil)
)

// Load reads a policy file.
func Load(path string) (Policies, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading policies: %w", err)
	}
	defer f.Close()
	p, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("policy file %s: %w", path, err)
	}
	return p, nil
}

// Parse reads policies; empty lines and those that begin with # are passed over.
func Parse(r io.Reader) (Policies, error) {
	var out Policies
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, bounds.PolicyLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(out) == bounds.Policies {
			return nil, fmt.Errorf("line %d: more than %d policies: use RBAC", n, bounds.Policies)
		}
		var p policy
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if p.APIVersion != apiVersion || p.Kind != "Policy" {
			return nil, fmt.Errorf("line %d: want apiVersion %s, kind Policy, not %q, %q", n, apiVersion, p.APIVersion, p.Kind)
		}
		if d.More() {
			return nil, fmt.Errorf("line %d: one policy a line", n)
		}
		out = append(out, p.Spec)
	}
	return out, lines.Err()
}

// Authorize implements request.Authorizer.
func (l Policies) Authorize(_ context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	for n := range l {
		if p := &l[n]; p.about(u) && p.allows(i) {
			return request.Allow, "", nil
		}
	}
	return request.NoOpinion, "No policy matched.", nil
}

// about: user and group must both fit where both are said.
func (p *spec) about(u *request.User) bool {
	if p.User == "" && p.Group == "" {
		return false
	}
	return (p.User == "" || p.User == "*" || p.User == u.Name) && (p.Group == "" || p.Group == "*" || u.In(p.Group))
}

func (p *spec) allows(i *request.Info) bool {
	if p.Readonly && i.Verb != "get" && i.Verb != "list" && i.Verb != "watch" {
		return false
	}
	fits := func(pattern, value string) bool { return pattern == "*" || pattern == value }
	if i.IsResource {
		// A policy that says nothing of resources is one of paths.
		return p.Resource != "" && fits(p.Namespace, i.Namespace) && fits(p.Resource, i.Resource) && fits(p.APIGroup, i.Group)
	}
	if prefix, ok := strings.CutSuffix(p.NonResourcePath, "*"); ok {
		return strings.HasPrefix(i.Path, prefix)
	}
	return p.NonResourcePath != "" && p.NonResourcePath == i.Path
}

// Rules lists what the policies let the user do in the namespace.
func (l Policies) Rules(_ context.Context, u *request.User, namespace string) (res []request.ResourceRule, non []request.NonResourceRule, incomplete bool, err error) {
	for n := range l {
		p := &l[n]
		if !p.about(u) {
			continue
		}
		verbs := []string{"*"}
		if p.Readonly {
			verbs = []string{"get", "list", "watch"}
		}
		if p.Resource != "" && (p.Namespace == "*" || p.Namespace == namespace) {
			res = append(res, request.ResourceRule{Verbs: verbs, APIGroups: []string{p.APIGroup}, Resources: []string{p.Resource}})
		}
		if p.NonResourcePath != "" {
			non = append(non, request.NonResourceRule{Verbs: verbs, NonResourceURLs: []string{p.NonResourcePath}})
		}
	}
	return res, non, false, nil
}

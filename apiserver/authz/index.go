package authz

import (
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/store"
)

// index finds the bindings of a subject without walking the others:
//
//	subject ──▶ namespace ("" = everywhere) ──▶ bindings ──▶ role ──▶ rules
//
// The owner serializes access.
type index struct {
	roles    map[roleKey]*role
	bindings map[bindingKey]*binding
	subjects map[subject]map[string]map[bindingKey]*binding
	// cluster are the cluster roles by name, aggregates those with an aggregationRule; their
	// rules are gathered anew when any cluster role changes. Roles of namespaces, of which
	// their owners may make as many as they like, are not looked at.
	cluster, aggregates map[string]*role
	stale               bool
	left                int // aggregated roles that had to be left with their own rules
}

type (
	roleKey    struct{ namespace, name string } // namespace "" is a ClusterRole
	bindingKey struct{ namespace, name string } // namespace "" is a ClusterRoleBinding
	subject    struct{ kind, name string }      // kind rbacv1.UserKind or GroupKind
	binding    struct {                         //
		key      bindingKey
		role     roleKey
		subjects []subject
		ref      *rbacv1.RoleRef
	}
	role struct {
		name       string
		labels     labels.Set
		own, rules []rule
		chosen     []labels.Selector
	}
)

func newIndex() *index {
	return &index{
		roles: map[roleKey]*role{}, bindings: map[bindingKey]*binding{},
		subjects: map[subject]map[string]map[bindingKey]*binding{}, cluster: map[string]*role{}, aggregates: map[string]*role{},
	}
}

// put adds or replaces an object of one of the four kinds.
func (x *index) put(o store.Object) {
	switch o := o.(type) {
	case *rbacv1.Role:
		rules := compile(o.Rules)
		x.roles[roleKey{o.Namespace, o.Name}] = &role{name: o.Name, own: rules, rules: rules}
	case *rbacv1.ClusterRole:
		x.putClusterRole(o)
	case *rbacv1.RoleBinding:
		ns := o.Namespace
		if o.RoleRef.Kind == "ClusterRole" {
			ns = ""
		}
		x.putBinding(&binding{key: bindingKey{o.Namespace, o.Name}, role: roleKey{ns, o.RoleRef.Name}, ref: &o.RoleRef,
			subjects: subjectsOf(o.Subjects, o.Namespace)})
	case *rbacv1.ClusterRoleBinding:
		x.putBinding(&binding{key: bindingKey{"", o.Name}, role: roleKey{"", o.RoleRef.Name}, ref: &o.RoleRef,
			subjects: subjectsOf(o.Subjects, "")})
	}
}

func (x *index) remove(o store.Object) {
	switch o := o.(type) {
	case *rbacv1.Role:
		delete(x.roles, roleKey{o.Namespace, o.Name})
	case *rbacv1.ClusterRole:
		delete(x.roles, roleKey{"", o.Name})
		delete(x.cluster, o.Name)
		delete(x.aggregates, o.Name)
		x.stale = true
	case *rbacv1.RoleBinding:
		x.removeBinding(bindingKey{o.Namespace, o.Name})
	case *rbacv1.ClusterRoleBinding:
		x.removeBinding(bindingKey{"", o.Name})
	}
}

func (x *index) putClusterRole(o *rbacv1.ClusterRole) {
	rules := compile(o.Rules)
	r := &role{name: o.Name, labels: o.Labels, own: rules, rules: rules}
	x.roles[roleKey{"", o.Name}], x.cluster[o.Name] = r, r
	delete(x.aggregates, o.Name)
	if a := o.AggregationRule; a != nil {
		for i := range a.ClusterRoleSelectors {
			if s, err := metav1.LabelSelectorAsSelector(&a.ClusterRoleSelectors[i]); err == nil {
				r.chosen = append(r.chosen, s)
			}
		}
		x.aggregates[o.Name] = r
	}
	x.stale = true
}

func (x *index) putBinding(b *binding) {
	x.removeBinding(b.key)
	x.bindings[b.key] = b
	for _, s := range b.subjects {
		byNS := x.subjects[s]
		if byNS == nil {
			byNS = map[string]map[bindingKey]*binding{}
			x.subjects[s] = byNS
		}
		if byNS[b.key.namespace] == nil {
			byNS[b.key.namespace] = map[bindingKey]*binding{}
		}
		byNS[b.key.namespace][b.key] = b
	}
}

func (x *index) removeBinding(k bindingKey) {
	b, ok := x.bindings[k]
	if !ok {
		return
	}
	delete(x.bindings, k)
	for _, s := range b.subjects {
		byNS := x.subjects[s]
		delete(byNS[k.namespace], k)
		if len(byNS[k.namespace]) == 0 {
			delete(byNS, k.namespace)
		}
		if len(byNS) == 0 {
			delete(x.subjects, s)
		}
	}
}

// subjectsOf turns service accounts into the users they are.
func subjectsOf(in []rbacv1.Subject, namespace string) []subject {
	var out []subject
	for _, s := range in {
		switch s.Kind {
		case rbacv1.UserKind, rbacv1.GroupKind:
			out = append(out, subject{s.Kind, s.Name})
		case rbacv1.ServiceAccountKind:
			ns := s.Namespace
			if ns == "" {
				ns = namespace
			}
			if ns != "" {
				out = append(out, subject{rbacv1.UserKind, request.ServiceAccountPrefix + ns + ":" + s.Name})
			}
		}
	}
	return out
}

// settle gathers the rules of aggregated roles, which may contain one another, in
// the order of their names, within bounds.AggregatedRules and AggregationSteps for
// all together. It says how many roles had to be left with their own rules.
func (x *index) settle() (left int) {
	if !x.stale {
		return x.left
	}
	x.stale, x.left = false, 0
	budget := budget{bounds.AggregatedRules, bounds.AggregationSteps}
	for _, name := range slices.Sorted(maps.Keys(x.aggregates)) {
		r := x.aggregates[name]
		rules, ok := x.gather(r, &budget)
		if !ok {
			r.rules = r.own
			x.left++
			continue
		}
		r.rules = rules
	}
	return x.left
}

// budget of gathering: rules kept, and roles looked at.
type budget struct{ rules, steps int }

// gather walks from role to role by their selectors; each is visited once.
func (x *index) gather(r *role, b *budget) (rules []rule, ok bool) {
	rules = slices.Clone(r.own)
	seen := map[string]bool{r.name: true}
	for todo := []*role{r}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b.steps -= len(x.cluster); b.steps < 0 {
			return nil, false
		}
		for name, other := range x.cluster {
			if seen[name] || !selected(next.chosen, other.labels) {
				continue
			}
			seen[name] = true
			if rules = append(rules, other.own...); len(rules) > b.rules {
				return nil, false
			}
			if len(other.chosen) > 0 {
				todo = append(todo, other)
			}
		}
	}
	b.rules -= len(rules)
	return rules, true
}

func selected(list []labels.Selector, l labels.Set) bool {
	for _, s := range list {
		if s.Matches(l) {
			return true
		}
	}
	return false
}

// visit calls f for every binding of the user that counts in the namespace,
// until f returns false.
func (x *index) visit(u *request.User, namespace string, f func(*binding, subject, *role) bool) {
	if !x.visitSubject(subject{rbacv1.UserKind, u.Name}, namespace, f) {
		return
	}
	for _, g := range u.Groups {
		if !x.visitSubject(subject{rbacv1.GroupKind, g}, namespace, f) {
			return
		}
	}
}

func (x *index) visitSubject(s subject, namespace string, f func(*binding, subject, *role) bool) bool {
	byNS := x.subjects[s]
	if byNS == nil {
		return true
	}
	for _, ns := range [2]string{"", namespace} {
		for _, b := range byNS[ns] {
			if r := x.roles[b.role]; r != nil && !f(b, s, r) {
				return false
			}
		}
		if namespace == "" {
			break
		}
	}
	return true
}

// reason in the form audit logs know.
func (b *binding) reason(s subject) string {
	kind, name := "ClusterRoleBinding", b.key.name
	if b.key.namespace != "" {
		kind, name = "RoleBinding", b.key.name+"/"+b.key.namespace
	}
	var w strings.Builder
	w.WriteString(`RBAC: allowed by ` + kind + ` "` + name + `" of ` + b.ref.Kind + ` "` + b.ref.Name + `" to `)
	if account, ok := strings.CutPrefix(s.name, request.ServiceAccountPrefix); ok && s.kind == rbacv1.UserKind {
		ns, n, _ := strings.Cut(account, ":")
		w.WriteString(`ServiceAccount "` + n + "/" + ns + `"`)
	} else {
		w.WriteString(s.kind + ` "` + s.name + `"`)
	}
	return w.String()
}

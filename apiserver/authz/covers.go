package authz

import (
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"hyperkube/internal/bounds"
)

// Missing lists what of want is not covered by held, at most bounds.Errors of it;
// more counts the rest. Rules are compared right by right, of which a short text
// can name billions: too many are an error.
func Missing(held, want []rbacv1.PolicyRule) (missing []rbacv1.PolicyRule, more int, err error) {
	each := make([]rbacv1.PolicyRule, len(want))
	rights := 0
	for i, r := range want {
		r.Verbs, r.APIGroups, r.Resources = distinct(r.Verbs), distinct(r.APIGroups), distinct(r.Resources)
		r.ResourceNames, r.NonResourceURLs = distinct(r.ResourceNames), distinct(r.NonResourceURLs)
		each[i] = r
		rights = min(rights+product(len(r.Verbs), len(r.APIGroups), len(r.Resources), max(1, len(r.ResourceNames)))+
			product(len(r.Verbs), len(r.NonResourceURLs)), bounds.GrantedRights+1)
	}
	if rights > bounds.GrantedRights {
		return nil, 0, fmt.Errorf("the rules name more than %d rights (verbs × groups × resources × names): use \"*\" or make several roles", bounds.GrantedRights)
	}
	if ok, lacks := validation.Covers(held, each); !ok {
		missing = lacks
	}
	if more = len(missing) - bounds.Errors; more > 0 {
		return missing[:bounds.Errors], more, nil
	}
	return missing, 0, nil
}

// product that stops growing beyond the bound.
func product(factors ...int) int {
	n := 1
	for _, f := range factors {
		if n *= f; n > bounds.GrantedRights {
			n = bounds.GrantedRights + 1
		}
		if n == 0 {
			return 0
		}
	}
	return n
}

func distinct(list []string) []string {
	if len(list) < 2 {
		return list
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// Package rbac declares the kinds of rbac.authorization.k8s.io/v1 and keeps
// anybody from granting more than they hold: writing a role needs all its rules
// or the verb escalate, writing a binding needs all rules of its role or the
// verb bind. Rules of form are in api/rbac.
package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"hyperkube/apiserver/kind"
)

// Kinds of the group, in the order discovery shows them.
func Kinds() []*kind.Kind {
	return []*kind.Kind{
		clusterRoleBinding(),
		clusterRole(),
		roleBinding(),
		role(),
	}
}

func names(kindName, plural, singular string, namespaced bool) kind.Names {
	return kind.Names{Group: rbacv1.GroupName, Version: "v1", Kind: kindName, Plural: plural, Singular: singular, Namespaced: namespaced}
}

package rbac

import (
	"context"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	rules "hyperkube/api/rbac"
	"hyperkube/apiserver/kind"
)

func clusterRoleBinding() *kind.Kind {
	return kind.New(kind.Spec[*rbacv1.ClusterRoleBinding]{
		Names:   names("ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", false),
		New:     func() *rbacv1.ClusterRoleBinding { return &rbacv1.ClusterRoleBinding{} },
		NewList: func() runtime.Object { return &rbacv1.ClusterRoleBindingList{} },
		Default: func(o *rbacv1.ClusterRoleBinding) { rules.DefaultBinding(o.Subjects, &o.RoleRef) },
		Validate: func(o *rbacv1.ClusterRoleBinding) field.ErrorList {
			return rules.ValidateBinding(o.Subjects, &o.RoleRef, false)
		},
		ValidateUpdate: func(o, old *rbacv1.ClusterRoleBinding) field.ErrorList {
			return append(rules.ValidateBinding(o.Subjects, &o.RoleRef, false), rules.ValidateBindingUpdate(&o.RoleRef, &old.RoleRef)...)
		},
		ValidateName:        rules.Name,
		AllowCreateOnUpdate: true,
		Columns:             rules.BindingColumns(),
		Row: func(o *rbacv1.ClusterRoleBinding, now time.Time) []any {
			return rules.BindingRow(o, o.RoleRef, o.Subjects, now)
		},
		Hooks: guard(func(ctx context.Context, env kind.Env, o *rbacv1.ClusterRoleBinding) error {
			return checkBinding(ctx, env, "clusterrolebindings", o, o.RoleRef)
		}),
	})
}

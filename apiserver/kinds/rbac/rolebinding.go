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

func roleBinding() *kind.Kind {
	return kind.New(kind.Spec[*rbacv1.RoleBinding]{
		Names:   names("RoleBinding", "rolebindings", "rolebinding", true),
		New:     func() *rbacv1.RoleBinding { return &rbacv1.RoleBinding{} },
		NewList: func() runtime.Object { return &rbacv1.RoleBindingList{} },
		Default: func(o *rbacv1.RoleBinding) { rules.DefaultBinding(o.Subjects, &o.RoleRef) },
		Validate: func(o *rbacv1.RoleBinding) field.ErrorList {
			return rules.ValidateBinding(o.Subjects, &o.RoleRef, true)
		},
		ValidateUpdate: func(o, old *rbacv1.RoleBinding) field.ErrorList {
			return append(rules.ValidateBinding(o.Subjects, &o.RoleRef, true), rules.ValidateBindingUpdate(&o.RoleRef, &old.RoleRef)...)
		},
		ValidateName:        rules.Name,
		AllowCreateOnUpdate: true,
		Columns:             rules.BindingColumns(),
		Row: func(o *rbacv1.RoleBinding, now time.Time) []any {
			return rules.BindingRow(o, o.RoleRef, o.Subjects, now)
		},
		Hooks: guard(func(ctx context.Context, env kind.Env, o *rbacv1.RoleBinding) error {
			return checkBinding(ctx, env, "rolebindings", o, o.RoleRef)
		}),
	})
}

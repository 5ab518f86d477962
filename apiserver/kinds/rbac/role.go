package rbac

import (
	"context"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/rbac"
	"hyperkube/apiserver/kind"
)

func role() *kind.Kind {
	return kind.New(kind.Spec[*rbacv1.Role]{
		Names:               names("Role", "roles", "role", true),
		New:                 func() *rbacv1.Role { return &rbacv1.Role{} },
		NewList:             func() runtime.Object { return &rbacv1.RoleList{} },
		Validate:            rules.ValidateRole,
		ValidateName:        rules.Name,
		AllowCreateOnUpdate: true,
		Columns:             rules.RoleColumns(),
		Row:                 func(o *rbacv1.Role, _ time.Time) []any { return rules.RoleRow(o) },
		Hooks: guard(func(ctx context.Context, env kind.Env, o *rbacv1.Role) error {
			return checkRole(ctx, env, "roles", o, o.Rules, false)
		}),
	})
}

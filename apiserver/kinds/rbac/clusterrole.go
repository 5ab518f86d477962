package rbac

import (
	"context"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/rbac"
	"hyperkube/apiserver/kind"
)

func clusterRole() *kind.Kind {
	return kind.New(kind.Spec[*rbacv1.ClusterRole]{
		Names:               names("ClusterRole", "clusterroles", "clusterrole", false),
		New:                 func() *rbacv1.ClusterRole { return &rbacv1.ClusterRole{} },
		NewList:             func() runtime.Object { return &rbacv1.ClusterRoleList{} },
		Validate:            rules.ValidateClusterRole,
		ValidateName:        rules.Name,
		AllowCreateOnUpdate: true,
		Columns:             rules.RoleColumns(),
		Row:                 func(o *rbacv1.ClusterRole, _ time.Time) []any { return rules.RoleRow(o) },
		Hooks: guard(func(ctx context.Context, env kind.Env, o *rbacv1.ClusterRole) error {
			return checkRole(ctx, env, "clusterroles", o, o.Rules, o.AggregationRule != nil)
		}),
	})
}

package controllers_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestQuotaAndBudgetAreCounted(t *testing.T) {
	c := newCluster(t)
	c.runPods()
	quotas := informer[*corev1.ResourceQuota](c, corev1.SchemeGroupVersion, "resourcequotas")
	budgets := informer[*policyv1.PodDisruptionBudget](c, policyv1.SchemeGroupVersion, "poddisruptionbudgets")
	must[*corev1.ResourceQuota](t)(c.kube.CoreV1().ResourceQuotas("default").Create(c.ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "default"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("10"), "count/deployments.apps": resource.MustParse("5")}},
	}, metav1.CreateOptions{}))
	one := intstr.FromInt32(1)
	must[*policyv1.PodDisruptionBudget](t)(c.kube.PolicyV1().PodDisruptionBudgets("default").Create(c.ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "nginx"}}},
	}, metav1.CreateOptions{}))
	must[*appsv1.Deployment](t)(c.kube.AppsV1().Deployments("default").Create(c.ctx, nginx(3, "v1"), metav1.CreateOptions{}))
	until(c, budgets, "one disruption allowed", func() bool {
		b, ok := budgets.Get("default", "b")
		return ok && b.Status.DisruptionsAllowed == 1 && b.Status.CurrentHealthy == 3 && b.Status.ExpectedPods == 3
	})
	if err := c.kube.AppsV1().Deployments("default").Delete(c.ctx, "nginx", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(c, quotas, "nothing used any more", func() bool {
		q, ok := quotas.Get("default", "q")
		if !ok {
			return false
		}
		pods, counted := q.Status.Used["pods"]
		return counted && pods.IsZero()
	})
}

func TestRolesAreAggregated(t *testing.T) {
	c := newCluster(t)
	roles := informer[*rbacv1.ClusterRole](c, rbacv1.SchemeGroupVersion, "clusterroles")
	role := func(name string, labels map[string]string, rule *rbacv1.AggregationRule, verbs ...string) {
		r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, AggregationRule: rule}
		if len(verbs) > 0 {
			r.Rules = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: verbs}}
		}
		must[*rbacv1.ClusterRole](t)(c.kube.RbacV1().ClusterRoles().Create(c.ctx, r, metav1.CreateOptions{}))
	}
	toView := map[string]string{"aggregate-to-view": "true"}
	role("view", nil, &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: toView}}})
	role("a", toView, nil, "get")
	role("b", toView, nil, "list")
	role("c", nil, nil, "delete")
	until(c, roles, "view has two rules", func() bool {
		v, ok := roles.Get("", "view")
		return ok && len(v.Rules) == 2 && v.Rules[0].Verbs[0] == "get" && v.Rules[1].Verbs[0] == "list"
	})
}

package bootstrap

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	read  = "get list watch"
	write = "create delete deletecollection patch update"
	all   = "create delete deletecollection get list patch update watch"
)

// aggregated makes one of admin, edit and view, whose rules are gathered from
// all roles with the label that names it.
func (p *Policy) aggregated(name string, into string) {
	r := p.clusterRole(name)
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{
		MatchLabels: map[string]string{aggregateLabel + name: "true"},
	}}}
	if into != "" {
		r.Labels[aggregateLabel+into] = "true"
	}
}

const aggregateLabel = "rbac.authorization.k8s.io/aggregate-to-"

// addUserRoles: what people in a namespace may do.
func (p *Policy) addUserRoles() {
	p.aggregated("admin", "")
	p.aggregated("edit", "admin")
	p.aggregated("view", "edit")
	p.clusterRole("system:aggregate-to-admin",
		rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
		rule(all, "rbac.authorization.k8s.io", "roles rolebindings"),
	).Labels[aggregateLabel+"admin"] = "true"
	p.clusterRole("system:aggregate-to-edit", editRules()...).Labels[aggregateLabel+"edit"] = "true"
	p.clusterRole("system:aggregate-to-view", viewRules()...).Labels[aggregateLabel+"view"] = "true"
}

func editRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(read, "", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
		rule("impersonate", "", "serviceaccounts"),
		rule(write, "", "pods pods/attach pods/exec pods/portforward pods/proxy"),
		rule("create", "", "pods/eviction"),
		rule(write, "", "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "+
			"secrets serviceaccounts services services/proxy"),
		rule("create", "", "serviceaccounts/token"),
		rule(write, "apps", "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale"),
		rule(write, "autoscaling", "horizontalpodautoscalers"),
		rule(write, "batch", "cronjobs jobs"),
		rule(write, "extensions", "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "+
			"replicasets replicasets/scale replicationcontrollers/scale"),
		rule(write, "policy", "poddisruptionbudgets"),
		rule(write, "networking.k8s.io", "ingresses networkpolicies"),
		rule(all, "coordination.k8s.io", "leases"),
		rule(write, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
	}
}

func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(read, "", "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "+
			"replicationcontrollers/scale serviceaccounts services services/status"),
		rule(read, "", "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "+
			"resourcequotas resourcequotas/status"),
		rule(read, "", "namespaces"),
		rule(read, "discovery.k8s.io", "endpointslices"),
		rule(read, "apps", "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "+
			"replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"),
		rule(read, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
		rule(read, "batch", "cronjobs cronjobs/status jobs jobs/status"),
		rule(read, "extensions", "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "+
			"networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale"),
		rule(read, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
		rule(read, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
		rule(read, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
	}
}

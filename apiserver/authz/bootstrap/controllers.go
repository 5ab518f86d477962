package bootstrap

import rbacv1 "k8s.io/api/rbac/v1"

// controllerRoles is one line of rules for each controller; its role is
// system:controller:<name>, bound to the service account <name> in kube-system.
func controllerRoles() map[string][]rbacv1.PolicyRule {
	type rules = []rbacv1.PolicyRule
	const owner = "update"
	return map[string]rules{
		"attachdetach-controller": {
			rule("list watch", "", "persistentvolumes persistentvolumeclaims"), rule(read, "", "nodes"),
			rule("patch update", "", "nodes/status"), rule("list watch", "", "pods"), events(),
			rule("create delete get list watch", "storage.k8s.io", "volumeattachments"),
			rule(read, "storage.k8s.io", "csidrivers csinodes"),
		},
		"certificate-controller": {
			rule("delete get list watch", certs, "certificatesigningrequests"),
			rule(owner, certs, "certificatesigningrequests/status certificatesigningrequests/approval"),
			named(rule("approve", certs, "signers"), "kubernetes.io/kube-apiserver-client-kubelet"),
			named(rule("sign", certs, "signers"), "kubernetes.io/legacy-unknown", "kubernetes.io/kubelet-serving",
				"kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet"),
			rule("create", "authorization.k8s.io", "subjectaccessreviews"), events(),
		},
		"clusterrole-aggregation-controller": {
			rule("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"),
		},
		"cronjob-controller": {
			rule("get list update watch", "batch", "cronjobs"), rule("create delete get list patch update watch", "batch", "jobs"),
			rule(owner, "batch", "cronjobs/status cronjobs/finalizers"), rule("delete list", "", "pods"), events(),
		},
		"daemon-set-controller": {
			rule(read, "extensions apps", "daemonsets"), rule(owner, "extensions apps", "daemonsets/status daemonsets/finalizers"),
			rule("list watch", "", "nodes"), rule("create delete list patch watch", "", "pods"), rule("create", "", "pods/binding"),
			rule("create delete get list patch update watch", "apps", "controllerrevisions"), events(),
		},
		"deployment-controller": {
			rule("get list update watch", "extensions apps", "deployments"),
			rule(owner, "extensions apps", "deployments/status deployments/finalizers"),
			rule("create delete get list patch update watch", "extensions apps", "replicasets"),
			rule("get list update watch", "", "pods"), events(),
		},
		"disruption-controller": {
			rule(read, "extensions apps", "deployments replicasets"), rule(read, "", "replicationcontrollers"),
			rule(read, "policy", "poddisruptionbudgets"), rule(read, "apps", "statefulsets"),
			rule("get list watch", "", "pods"), rule("patch update", "", "pods/status"),
			rule(owner, "policy", "poddisruptionbudgets/status"), rule("get", "*", "*/scale"), events(),
		},
		"endpoint-controller": {
			rule(read, "", "services pods"), rule("create delete get list update", "", "endpoints"),
			rule("create", "", "endpoints/restricted"), events(),
		},
		"endpointslice-controller": {
			rule(read, "", "services pods nodes"), rule(owner, "", "services/finalizers"),
			rule("create delete get list update", "discovery.k8s.io", "endpointslices"), rule("create", "discovery.k8s.io", "endpointslices/restricted"), events(),
		},
		"endpointslicemirroring-controller": {
			rule(read, "", "services endpoints"), rule(owner, "", "services/finalizers endpoints/finalizers"),
			rule("create delete get list update", "discovery.k8s.io", "endpointslices"), rule("create", "discovery.k8s.io", "endpointslices/restricted"), events(),
		},
		"ephemeral-volume-controller": {
			rule(owner, "", "pods/finalizers"), rule(read, "", "pods"), rule("create get list watch", "", "persistentvolumeclaims"), events(),
		},
		"expand-controller": {
			rule("get list patch update watch", "", "persistentvolumes"), rule("patch update", "", "persistentvolumeclaims/status"),
			rule("get list watch", "", "persistentvolumeclaims"), rule(read, "storage.k8s.io", "storageclasses"),
			rule("get", "", "endpoints services secrets"), events(),
		},
		"generic-garbage-collector": {rule("delete get list patch update watch", "*", "*"), events()},
		"horizontal-pod-autoscaler": {
			rule(read, "autoscaling", "horizontalpodautoscalers"), rule(owner, "autoscaling", "horizontalpodautoscalers/status"),
			rule("get update", "*", "*/scale"), rule("list", "", "pods"), rule("list", "metrics.k8s.io", "pods"),
			rule("get list", "custom.metrics.k8s.io", "*"), rule("get list", "external.metrics.k8s.io", "*"), events(),
		},
		"job-controller": {
			rule("get list patch update watch", "batch", "jobs"), rule("patch update", "batch", "jobs/status"), rule(owner, "batch", "jobs/finalizers"),
			rule("create delete list patch watch", "", "pods"), events(),
		},
		"legacy-service-account-token-cleaner": {
			named(rule("get", "", "configmaps"), "kube-apiserver-legacy-service-account-token-tracking"), rule("delete patch", "", "secrets"),
		},
		"namespace-controller": {
			rule("delete get list watch", "", "namespaces"), rule(owner, "", "namespaces/finalize namespaces/status"),
			rule("delete deletecollection get list", "*", "*"),
		},
		"node-controller": {
			rule("delete get list patch update watch", "", "nodes"), rule("patch update", "", "nodes/status"),
			rule("patch update", "", "pods/status"), rule("delete get list watch", "", "pods"), rule("get list watch", "networking.k8s.io", "servicecidrs"),
			rule(read, "coordination.k8s.io", "leases"), events(),
		},
		"persistent-volume-binder": {
			rule("create delete get list update watch", "", "persistentvolumes"), rule(owner, "", "persistentvolumes/status"),
			rule("get list update watch", "", "persistentvolumeclaims"), rule(owner, "", "persistentvolumeclaims/status"),
			rule("create delete get list watch", "", "pods"), rule(read, "storage.k8s.io", "storageclasses"),
			rule("create delete get", "", "endpoints services"), rule("get", "", "secrets"), rule("get list", "", "nodes"),
			rule("watch", "", "events"), events(),
		},
		"pod-garbage-collector": {
			rule("delete list watch", "", "pods"), rule("get list watch", "", "nodes"), rule("patch update", "", "pods/status"),
		},
		"pv-protection-controller":  {rule("get list update watch", "", "persistentvolumes"), events()},
		"pvc-protection-controller": {rule("get list update watch", "", "persistentvolumeclaims"), rule(read, "", "pods"), events()},
		"replicaset-controller": {
			rule("get list update watch", "extensions apps", "replicasets"), rule(owner, "extensions apps", "replicasets/status replicasets/finalizers"),
			rule("create delete list patch watch", "", "pods"), events(),
		},
		"replication-controller": {
			rule("get list update watch", "", "replicationcontrollers"), rule(owner, "", "replicationcontrollers/status replicationcontrollers/finalizers"),
			rule("create delete list patch watch", "", "pods"), events(),
		},
		"resource-claim-controller": {
			rule(read, "", "pods"), rule(owner, "", "pods/finalizers"), rule("create delete get list watch", "resource.k8s.io", "resourceclaims"),
			rule("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"), rule("patch update", "", "pods/status"),
			rule(read, "resource.k8s.io", "resourceclaimtemplates"), events(),
		},
		"resourcequota-controller":   {rule("list watch", "*", "*"), rule(owner, "", "resourcequotas/status"), events()},
		"root-ca-cert-publisher":     {rule("create update", "", "configmaps"), events()},
		"route-controller":           {rule("list watch", "", "nodes"), rule("patch", "", "nodes/status"), events()},
		"selinux-warning-controller": {rule(read, "", "persistentvolumes persistentvolumeclaims pods"), rule(read, "storage.k8s.io", "csidrivers"), events()},
		"service-account-controller": {rule("create", "", "serviceaccounts"), events()},
		"service-cidrs-controller":   {rule("get list patch update watch", "networking.k8s.io", "servicecidrs"), rule("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"), rule(read, "networking.k8s.io", "ipaddresses"), events()},
		"service-controller":         {rule(read, "", "services"), rule("patch update", "", "services/status"), rule("list watch", "", "nodes"), events()},
		"statefulset-controller": {
			rule("list watch", "", "pods"), rule(read, "apps", "statefulsets"), rule(owner, "apps", "statefulsets/status statefulsets/finalizers"),
			rule("create delete get patch update", "", "pods"), rule("create delete get list patch update watch", "apps", "controllerrevisions"),
			rule("create delete get list update watch", "", "persistentvolumeclaims"), events(),
		},
		"taint-eviction-controller":     {rule("delete get list watch", "", "pods"), rule("get list watch", "", "nodes"), rule("patch update", "", "pods/status"), events()},
		"ttl-after-finished-controller": {rule("delete get list watch", "batch", "jobs"), events()},
		"ttl-controller":                {rule("list patch update watch", "", "nodes"), events()},
		"validatingadmissionpolicy-status-controller": {
			rule(read, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
			rule("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"), events(),
		},
		"volumeattributesclass-protection-controller": {
			rule("list watch", "", "persistentvolumeclaims persistentvolumes"),
			rule("get list update watch", "storage.k8s.io", "volumeattributesclasses"), events(),
		},
	}
}

func (p *Policy) addControllers() {
	for name, rules := range controllerRoles() {
		role := "system:controller:" + name
		p.clusterRole(role, rules...)
		p.clusterBinding(role, role, account("kube-system", name)...)
	}
}

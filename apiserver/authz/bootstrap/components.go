package bootstrap

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"hyperkube/internal/pki"
)

// Users of the control plane.
const (
	userControllerManager = "system:kube-controller-manager"
	userScheduler         = "system:kube-scheduler"
	userProxy             = "system:kube-proxy"
)

// NodeRules are the role system:node, for clusters that bind it to kubelets because
// they run without the Node authorizer; that one has a list of its own, which these
// rules cover.
func NodeRules() []rbacv1.PolicyRule {
	rules := []rbacv1.PolicyRule{
		rule("create", "authentication.k8s.io", "tokenreviews"),
		rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
		rule(read, "", "services"),
		rule("create get list watch", "", "nodes"),
		rule("patch update", "", "nodes/status"),
		rule("patch update", "", "nodes"),
		events(),
		rule(read, "", "pods"),
		rule("create delete", "", "pods"),
		rule("patch update", "", "pods/status"),
		rule("create", "", "pods/eviction"),
		rule(read, "", "configmaps secrets"),
		rule("get", "", "persistentvolumeclaims persistentvolumes"),
		rule("get", "", "endpoints"),
		rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
		rule("create delete get patch update", "coordination.k8s.io", "leases"),
		rule("get", "storage.k8s.io", "volumeattachments"),
		rule("create", "", "serviceaccounts/token"),
		rule("get", "", "serviceaccounts"),
		rule("get patch update", "", "persistentvolumeclaims/status"),
		rule(read, "storage.k8s.io", "csidrivers"),
		rule("create delete get patch update", "storage.k8s.io", "csinodes"),
		rule(read, "node.k8s.io", "runtimeclasses"),
		rule("get", "resource.k8s.io", "resourceclaims"),
		rule("deletecollection", "resource.k8s.io", "resourceslices"),
		rule(all, "resource.k8s.io", "resourceslices"),
		rule(read, "certificates.k8s.io", "clustertrustbundles"),
		rule("patch", "", "pods/resize"),
	}
	for i := range rules {
		slices.Sort(rules[i].APIGroups)
	}
	return rules
}

func (p *Policy) addComponents() {
	p.clusterRole("system:node", NodeRules()...)
	p.clusterBinding("system:node", "system:node")
	p.clusterRole("system:node-proxier",
		rule("list watch", "", "endpoints services"),
		rule("get list watch", "", "nodes"),
		events(),
		rule("list watch", "discovery.k8s.io", "endpointslices"),
		rule("list watch", "networking.k8s.io", "servicecidrs"))
	p.clusterBinding("system:node-proxier", "system:node-proxier", user(userProxy)...)
	p.clusterRole("system:node-bootstrapper", rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"))
	p.clusterRole("system:node-problem-detector", rule("get", "", "nodes"), rule("patch", "", "nodes/status"), events())
	p.clusterRole("system:kubelet-api-admin", rule("get list watch", "", "nodes"), rule("proxy", "", "nodes"),
		rule("*", "", "nodes/log nodes/metrics nodes/proxy nodes/stats nodes/configz nodes/healthz nodes/pods"))
	p.clusterBinding("system:kubelet-api-admin", "system:kubelet-api-admin", user(pki.KubeletClientUser)...)
	p.clusterRole("system:auth-delegator",
		rule("create", "authentication.k8s.io", "tokenreviews"),
		rule("create", "authorization.k8s.io", "subjectaccessreviews"))
	p.clusterRole("system:kube-aggregator", rule(read, "", "services endpoints"), rule(read, "discovery.k8s.io", "endpointslices"))
	p.clusterRole("system:heapster", rule(read, "", "events pods nodes namespaces"), rule(read, "extensions", "deployments"))
	p.clusterRole("system:persistent-volume-provisioner",
		rule("create delete get list watch", "", "persistentvolumes"),
		rule("get list update watch", "", "persistentvolumeclaims"),
		rule(read, "storage.k8s.io", "storageclasses"),
		rule("watch", "", "events"), events())
	p.addDNS()
	p.addScheduler()
	p.addControllerManager()
}

func (p *Policy) addDNS() {
	p.clusterRole("system:kube-dns", rule("list watch", "", "endpoints services"))
	p.clusterBinding("system:kube-dns", "system:kube-dns", account("kube-system", "kube-dns")...)
	p.clusterRole("system:coredns",
		rule("list watch", "", "endpoints services pods namespaces"),
		rule("list watch", "discovery.k8s.io", "endpointslices"),
		rule("get", "", "nodes"))
	p.clusterBinding("system:coredns", "system:coredns", account("kube-system", "coredns")...)
}

func (p *Policy) addScheduler() {
	p.clusterRole("system:kube-scheduler",
		events(),
		rule("create", "coordination.k8s.io", "leases"),
		named(rule("get update", "coordination.k8s.io", "leases"), "kube-scheduler"),
		rule("create get list update watch", "coordination.k8s.io", "leasecandidates"),
		rule(read, "", "nodes"),
		rule("delete get list watch", "", "pods"),
		rule("create", "", "pods/binding bindings"),
		rule("patch update", "", "pods/status"),
		rule(read, "", "replicationcontrollers services namespaces"),
		rule(read, "apps extensions", "replicasets"),
		rule(read, "apps", "statefulsets"),
		rule(read, "policy", "poddisruptionbudgets"),
		rule(read, "", "persistentvolumeclaims persistentvolumes"),
		rule("create", "authentication.k8s.io", "tokenreviews"),
		rule("create", "authorization.k8s.io", "subjectaccessreviews"),
		rule(read, "storage.k8s.io", "csinodes csidrivers csistoragecapacities storageclasses volumeattachments"),
		rule("get list patch update watch", "resource.k8s.io", "resourceclaims"),
		rule("get list patch update watch", "resource.k8s.io", "resourceclaims/status"),
		rule(read, "resource.k8s.io", "deviceclasses resourceslices"),
		rule("patch update", "", "pods/finalizers"))
	p.clusterBinding("system:kube-scheduler", "system:kube-scheduler", user(userScheduler)...)
	p.clusterRole("system:volume-scheduler",
		rule("get list patch update watch", "", "persistentvolumes"),
		rule(read, "storage.k8s.io", "storageclasses"),
		rule("get list patch update watch", "", "persistentvolumeclaims"))
	p.clusterBinding("system:volume-scheduler", "system:volume-scheduler", user(userScheduler)...)
}

func (p *Policy) addControllerManager() {
	p.clusterRole("system:kube-controller-manager",
		events(),
		rule("create", "coordination.k8s.io", "leases"),
		named(rule("get update", "coordination.k8s.io", "leases"), "kube-controller-manager"),
		rule("create get list update watch", "coordination.k8s.io", "leasecandidates"),
		rule("create", "", "secrets serviceaccounts"),
		rule("delete", "", "secrets"),
		rule("get", "", "configmaps namespaces secrets serviceaccounts"),
		rule("update", "", "secrets serviceaccounts"),
		rule("create", "authentication.k8s.io", "tokenreviews"),
		rule("create", "authorization.k8s.io", "subjectaccessreviews"),
		rule("create", "", "serviceaccounts/token"),
		rule("list watch", "*", "*"))
	p.clusterBinding("system:kube-controller-manager", "system:kube-controller-manager", user(userControllerManager)...)
}

const certs = "certificates.k8s.io"

func (p *Policy) addCertificates() {
	p.clusterRole("system:certificates.k8s.io:certificatesigningrequests:nodeclient",
		rule("create", certs, "certificatesigningrequests/nodeclient"))
	p.clusterRole("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
		rule("create", certs, "certificatesigningrequests/selfnodeclient"))
	for role, signer := range map[string]string{
		"legacy-unknown-approver":                "kubernetes.io/legacy-unknown",
		"kubelet-serving-approver":               "kubernetes.io/kubelet-serving",
		"kube-apiserver-client-approver":         "kubernetes.io/kube-apiserver-client",
		"kube-apiserver-client-kubelet-approver": "kubernetes.io/kube-apiserver-client-kubelet",
	} {
		p.clusterRole("system:certificates.k8s.io:"+role, named(rule("approve", certs, "signers"), signer))
	}
}

// addNamespaced: roles in kube-system and kube-public.
func (p *Policy) addNamespaced() {
	const system, public = "kube-system", "kube-public"
	p.role(system, "extension-apiserver-authentication-reader",
		named(rule(read, "", "configmaps"), "extension-apiserver-authentication"))
	p.binding(system, "system::extension-apiserver-authentication-reader", "extension-apiserver-authentication-reader",
		user(userControllerManager, userScheduler)...)
	for component, who := range map[string]string{
		"kube-controller-manager": userControllerManager, "kube-scheduler": userScheduler,
	} {
		name := "system::leader-locking-" + component
		p.role(system, name, rule("watch", "", "configmaps"), named(rule("get update", "", "configmaps"), component))
		p.binding(system, name, name, append(user(who), account(system, component)...)...)
	}
	p.role(system, "system:controller:bootstrap-signer", rule(read, "", "secrets"))
	p.binding(system, "system:controller:bootstrap-signer", "system:controller:bootstrap-signer", account(system, "bootstrap-signer")...)
	p.role(system, "system:controller:cloud-provider", rule("create get list patch update watch", "", "configmaps"))
	p.binding(system, "system:controller:cloud-provider", "system:controller:cloud-provider", account(system, "cloud-provider")...)
	p.role(system, "system:controller:token-cleaner", rule("delete get list watch", "", "secrets"), events())
	p.binding(system, "system:controller:token-cleaner", "system:controller:token-cleaner", account(system, "token-cleaner")...)
	p.role(public, "system:controller:bootstrap-signer", rule(read, "", "configmaps"),
		named(rule("update", "", "configmaps"), "cluster-info"), events())
	p.binding(public, "system:controller:bootstrap-signer", "system:controller:bootstrap-signer", account(system, "bootstrap-signer")...)
}

package authz

import (
	"strings"

	"hyperkube/apiserver/request"
)

// grant is one thing that kubelets may do, and what the object must have to do
// with the kubelet's node.
type grant struct {
	verbs    verbs
	group    string
	resource string // "pods" or "pods/status"
	when     relation
}

// kubeletGrants lists everything a kubelet may do through the Node authorizer.
// What is not on it is for RBAC to allow. "guarded" marks writes whose limits need
// the object itself: NodeRestriction knows it, an authorizer does not.
func kubeletGrants() []grant {
	const read, own = "get list watch", "get update patch delete"
	return []grant{
		// what the pods on the node use
		allow(read, "", "secrets", byPods),
		allow(read, "", "configmaps", byPods),
		allow("get", "", "persistentvolumeclaims", byPods),
		allow("update patch", "", "persistentvolumeclaims/status", byPods), // guarded
		allow("get", "", "persistentvolumes", byClaim),
		allow("get", "", "serviceaccounts", byPods),
		allow("create", "", "serviceaccounts/token", byPods), // guarded
		allow("get", "storage.k8s.io", "volumeattachments", byAttachment),
		allow("get", "resource.k8s.io", "resourceclaims", byPods),
		// the pods themselves
		allow("get", "", "pods", byBinding),
		allow("list watch", "", "pods", either(bySelector("spec.nodeName", "can only list/watch pods with spec.nodeName field selector"), byBinding)),
		allow("create delete", "", "pods", anything),       // guarded: mirror pods, pods of the node
		allow("update patch", "", "pods/status", anything), // guarded
		allow("create", "", "pods/eviction", anything),     // guarded
		// the node and what stands for it
		allow(read, "", "nodes", byNodeName),
		allow("create", "", "nodes", byNodeNameOrBody), // guarded
		allow("update patch", "", "nodes", byNodeName), // guarded
		allow("update patch", "", "nodes/status", byNodeName),
		allow(own, "coordination.k8s.io", "leases", both(inLeaseNamespace, byNodeName)),
		allow("create", "coordination.k8s.io", "leases", both(inLeaseNamespace, byNodeNameOrBody)), // guarded
		allow(own, "storage.k8s.io", "csinodes", byNodeName),
		allow("create", "storage.k8s.io", "csinodes", byNodeNameOrBody), // guarded
		allow(own, "resource.k8s.io", "resourceslices", bySlice),        // guarded
		allow("create", "resource.k8s.io", "resourceslices", anything),  // guarded
		allow("list watch deletecollection", "resource.k8s.io", "resourceslices",
			bySelector("spec.nodeName", "can only list/watch/deletecollection resourceslices with nodeName field selector")),
		// what is the same for all nodes
		allow(read, "", "services", anything),
		allow("get", "", "endpoints", anything),
		allow(read, "storage.k8s.io", "csidrivers", anything),
		allow(read, "node.k8s.io", "runtimeclasses", anything),
		allow(read, "certificates.k8s.io", "clustertrustbundles", anything),
		allow("create get list watch", "certificates.k8s.io", "certificatesigningrequests", anything),
		allow("create patch update", "", "events", anything),
		allow("create patch update", "events.k8s.io", "events", anything),
		allow("create", "authentication.k8s.io", "tokenreviews", anything),
		allow("create", "authorization.k8s.io", "subjectaccessreviews", anything),
		allow("create", "authorization.k8s.io", "localsubjectaccessreviews", anything),
	}
}

func allow(words, group, resource string, when relation) grant {
	g := grant{group: group, resource: resource, when: when}
	for v := range strings.FieldsSeq(words) {
		g.verbs |= verbBit(v)
	}
	return g
}

// target of a request: the key under which grants are found.
type target struct{ group, resource, sub string }

func targetOf(i *request.Info) target { return target{i.Group, i.Resource, i.Subresource} }

func byTarget(list []grant) map[target][]grant {
	out := make(map[target][]grant, len(list))
	for _, g := range list {
		resource, sub, _ := strings.Cut(g.resource, "/")
		t := target{g.group, resource, sub}
		out[t] = append(out[t], g)
	}
	return out
}

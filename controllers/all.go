package controllers

import (
	"hyperkube/controllers/aggregation"
	"hyperkube/controllers/cronjob"
	"hyperkube/controllers/daemonset"
	"hyperkube/controllers/deployment"
	"hyperkube/controllers/disruption"
	"hyperkube/controllers/endpoints"
	"hyperkube/controllers/endpointslice"
	"hyperkube/controllers/env"
	"hyperkube/controllers/garbage"
	"hyperkube/controllers/job"
	"hyperkube/controllers/mirroring"
	"hyperkube/controllers/namespace"
	"hyperkube/controllers/nodeipam"
	"hyperkube/controllers/nodelifecycle"
	"hyperkube/controllers/podgc"
	"hyperkube/controllers/pvcprotection"
	"hyperkube/controllers/replicaset"
	"hyperkube/controllers/resourcequota"
	"hyperkube/controllers/rootca"
	"hyperkube/controllers/satoken"
	"hyperkube/controllers/serviceaccount"
	"hyperkube/controllers/statefulset"
	"hyperkube/controllers/tainteviction"
	"hyperkube/controllers/ttlfinished"
	"hyperkube/controllers/unserved"
)

// Descriptor declares a controller.
type Descriptor struct {
	Name string // as in --controllers
	New  func(*env.Env) (env.Runner, error)
	// Account is its service account in kube-system, to which the default policy gives its rights.
	Account string // Name when empty, Manages for the manager's own identity
	// Off keeps it from running unless it is named: "*" does not include it.
	Off bool
}

// Manages is the Account of a controller that needs rights which only the manager has.
const Manages = "-"

// All is the list of controllers. A new one is a folder and a line here. The order is that in
// which they start: first what other components wait for.
func All() []Descriptor {
	return []Descriptor{
		// What every pod needs: a service account, the CA, a node with addresses.
		{Name: "serviceaccount-controller", Account: "service-account-controller", New: serviceaccount.New},
		{Name: "root-ca-certificate-publisher-controller", Account: "root-ca-cert-publisher", New: rootca.New},
		{Name: "node-ipam-controller", Account: "node-controller", New: nodeipam.New},
		{Name: "clusterrole-aggregation-controller", New: aggregation.New},
		{Name: "serviceaccount-token-controller", Account: Manages, New: satoken.New},
		// Workloads.
		{Name: "deployment-controller", New: deployment.New},
		{Name: "replicaset-controller", New: replicaset.New},
		{Name: "replicationcontroller-controller", Account: "replication-controller", New: replicaset.NewForReplicationControllers},
		{Name: "daemonset-controller", Account: "daemon-set-controller", New: daemonset.New},
		{Name: "statefulset-controller", New: statefulset.New},
		{Name: "job-controller", New: job.New},
		{Name: "cronjob-controller", New: cronjob.New},
		{Name: "ttl-after-finished-controller", New: ttlfinished.New},
		{Name: "disruption-controller", New: disruption.New},
		// Services.
		{Name: "endpointslice-controller", New: endpointslice.New},
		{Name: "endpoints-controller", Account: "endpoint-controller", New: endpoints.New},
		{Name: "endpointslice-mirroring-controller", Account: "endpointslicemirroring-controller", New: mirroring.New},
		// Nodes.
		{Name: "node-lifecycle-controller", Account: "node-controller", New: nodelifecycle.New},
		{Name: "taint-eviction-controller", New: tainteviction.New},
		// Limits.
		{Name: "resourcequota-controller", New: resourcequota.New},
		// What goes away.
		{Name: "namespace-controller", New: namespace.New},
		{Name: "pod-garbage-collector-controller", Account: "pod-garbage-collector", New: podgc.New},
		{Name: "persistentvolumeclaim-protection-controller", Account: "pvc-protection-controller", New: pvcprotection.New},
		{Name: "persistentvolume-protection-controller", Account: "pv-protection-controller", New: pvcprotection.NewForVolumes},
		// What is served without a controller: docs/controllers.md.
		{Name: "unserved-controller", Account: Manages, New: unserved.New},
		// Last: it reads what the others already watch.
		{Name: "garbage-collector-controller", Account: "generic-garbage-collector", New: garbage.New},
	}
}

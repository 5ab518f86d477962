// Package cluster is the composition root: it knows every part, starts them in
// order and takes them down again. Nothing but cmd and tests imports it.
//
//	preflight ─▶ identity, keys ─┬▶ containerd ─▶ images ──────────┐
//	                             └▶ etcd ─▶ API server ─▶ bootstrap ├▶ DNS ─▶ ready
//	                                        └▶ controllers, scheduler, kubelet, network, proxy
//
// Contract: Up blocks until ctx ends and returns when everything it started is
// gone, but for containers, which live on. Nothing is made before all checks have
// passed, and nothing is made anew over what others know (holdings). Each stage is
// reported once. A role that fails after the start is started again on its own; when
// etcd, the API server or the shared informers end, which all hold on to, Up ends, and
// the keeper of the process (tools/keep) starts it again. The marker in the data
// directory says that it is a cluster's, which one, and what Reset removes. Everything
// on the host carries the id of the data directory (cgroups, nftables table, /run), so
// that Reset removes that and nothing else.
package cluster

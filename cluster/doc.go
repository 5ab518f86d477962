// Package cluster is the composition root: it knows every part, starts them in
// order and takes them down again. Nothing but cmd and tests imports it.
//
//	preflight ─▶ identity, keys ─┬▶ containerd ─▶ images ──────────┐
//	                             └▶ etcd ─▶ API server ─▶ bootstrap ├▶ DNS ─▶ ready
//	                                        └▶ controllers, scheduler, kubelet, network, proxy
//
// Contract: Up blocks until ctx ends and returns when everything it started is
// gone, but for containers, which live on. Each stage is reported once. A role
// that fails after the start is started again on its own; only a failure while
// starting ends Up. Everything on the host carries the id of the data directory
// (cgroups, nftables table, /run), so that Reset removes that and nothing else.
package cluster

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hyperkube/cluster"
	"hyperkube/controllers"
	"hyperkube/controllers/env"
)

// controllerManagerFlags are those that need more than being stored.
type controllerManagerFlags struct {
	port                     portFlags
	rootCA, tokenKey         string
	clusterCIDR, serviceCIDR string
	maskSize                 int
	verbosity                int
}

func controllerManagerCommand() *cobra.Command {
	o := cluster.ControllerManager{Client: cluster.Client{Agent: "kube-controller-manager"}}
	var v controllerManagerFlags
	c, f := roleCommand("controller-manager", "Run the controllers (kube-controller-manager)", func(c *cobra.Command) error {
		o.Log = roleLog("controller-manager", v.verbosity)
		if err := v.fill(&o); err != nil {
			return err
		}
		return small(c.Context(), o.Run)
	})
	f.everyFlag(&v.verbosity)
	f.clientFlags(&o.Client, 20, 30)
	f.electionFlags(&o.Election, "kube-controller-manager")
	v.port.add(f, 10257)
	f.BoolVar(&o.Accounts, "use-service-account-credentials", false, "let each controller write as a service account of its own, with no more rights than it needs")
	e := &o.Config
	f.StringSliceVar(&o.Controllers, "controllers", []string{"*"}, "controllers to run: names, -name for not this one, * for all that are on by default")
	f.BoolVar(&e.AllocateNodeCIDRs, "allocate-node-cidrs", false, "give each node a part of --cluster-cidr")
	f.StringVar(&v.clusterCIDR, "cluster-cidr", "", "networks of the pods")
	f.StringVar(&v.serviceCIDR, "service-cluster-ip-range", "", "networks of the services, never given to nodes")
	f.IntVar(&v.maskSize, "node-cidr-mask-size", 0, "mask size of a node's IPv4 part (default 24)")
	f.IntVar(&e.NodeMaskSizeIPv4, "node-cidr-mask-size-ipv4", 0, "the same, beside IPv6 (default 24)")
	f.IntVar(&e.NodeMaskSizeIPv6, "node-cidr-mask-size-ipv6", 0, "mask size of a node's IPv6 part (default 64)")
	d := o.Config.WithDefaults()
	f.DurationVar(&e.NodeMonitorGracePeriod, "node-monitor-grace-period", d.NodeMonitorGracePeriod, "silence after which a node counts as unreachable")
	f.DurationVar(&e.NodeMonitorPeriod, "node-monitor-period", d.NodeMonitorPeriod, "how often nodes are looked at")
	f.DurationVar(&e.NodeStartupGracePeriod, "node-startup-grace-period", d.NodeStartupGracePeriod, "the same for a node that never reported")
	f.Float64Var(&e.NodeEvictionRate, "node-eviction-rate", d.NodeEvictionRate, "unreachable nodes emptied a second")
	f.IntVar(&e.TerminatedPodGCThreshold, "terminated-pod-gc-threshold", d.TerminatedPodGCThreshold, "ended pods that are kept; 0 for all of them")
	f.StringVar(&v.rootCA, "root-ca-file", "", "CA published to every namespace and put beside legacy tokens")
	f.StringVar(&v.tokenKey, "service-account-private-key-file", "", "key that signs tokens of legacy service account secrets")
	e.ConcurrentSyncs = map[string]int{}
	for name, controller := range concurrency {
		f.Var(count{e.ConcurrentSyncs, controller}, name, "workers of "+controller)
	}
	v.others(f)
	return c
}

// concurrency maps the standard flags for numbers of workers to controllers.
var concurrency = map[string]string{
	"concurrent-deployment-syncs": "deployment-controller", "concurrent-replicaset-syncs": "replicaset-controller",
	"concurrent-rc-syncs": "replicationcontroller-controller", "concurrent-statefulset-syncs": "statefulset-controller",
	"concurrent-daemonset-syncs": "daemonset-controller", "concurrent-job-syncs": "job-controller", "concurrent-cron-job-syncs": "cronjob-controller",
	"concurrent-namespace-syncs": "namespace-controller", "concurrent-endpoint-syncs": "endpoints-controller",
	"concurrent-service-endpoint-syncs": "endpointslice-controller", "mirroring-concurrent-service-endpoint-syncs": "endpointslice-mirroring-controller",
	"concurrent-resource-quota-syncs": "resourcequota-controller", "concurrent-serviceaccount-token-syncs": "serviceaccount-token-controller",
	"concurrent-ttl-after-finished-syncs": "ttl-after-finished-controller", "concurrent-gc-syncs": "garbage-collector-controller",
}

// others are the flags that say what is so anyway, or what is not there.
func (v *controllerManagerFlags) others(f standardFlags) {
	f.noop("its name is not used", "cluster-name")
	f.only("certificates of CertificateSigningRequests are not signed here", "cluster-signing-duration", "8760h0m0s", "8760h")
	f.refuse("CertificateSigningRequests are not signed yet: leave the flag out", "cluster-signing-cert-file", "cluster-signing-key-file",
		"cluster-signing-kube-apiserver-client-cert-file", "cluster-signing-kube-apiserver-client-key-file", "cluster-signing-kubelet-client-cert-file",
		"cluster-signing-kubelet-client-key-file", "cluster-signing-kubelet-serving-cert-file", "cluster-signing-kubelet-serving-key-file",
		"cluster-signing-legacy-unknown-cert-file", "cluster-signing-legacy-unknown-key-file")
	f.refuse("there is no cloud provider in here: run the provider's own controller manager", "cloud-config", "configure-cloud-routes", "external-cloud-volume-plugin",
		"allow-untagged-cloud", "route-reconciliation-period", "node-sync-period", "cidr-allocator-type")
	f.only("run the provider's own controller manager", "cloud-provider", "external", "")
	f.refuse("the horizontal pod autoscaler is not there yet", "horizontal-pod-autoscaler-sync-period", "horizontal-pod-autoscaler-tolerance",
		"horizontal-pod-autoscaler-downscale-stabilization", "horizontal-pod-autoscaler-cpu-initialization-period",
		"horizontal-pod-autoscaler-initial-readiness-delay", "concurrent-horizontal-pod-autoscaler-syncs")
	f.refuse("volumes are not attached or provisioned here", "attach-detach-reconcile-sync-period", "disable-attach-detach-reconcile-sync", "flex-volume-plugin-dir",
		"pvclaimbinder-sync-period", "enable-hostpath-provisioner", "enable-dynamic-provisioning")
	f.refuse("zones are not told apart when nodes fail", "secondary-node-eviction-rate", "unhealthy-zone-threshold", "large-cluster-size-threshold")
	f.refuse("controllers act on events, not on a clock", "min-resync-period", "namespace-sync-period", "resource-quota-sync-period", "controller-start-interval",
		"endpoint-updates-batch-period", "endpointslice-updates-batch-period", "pod-eviction-timeout")
	f.only("objects are collected by what owns them", "enable-garbage-collector", "true")
	f.refuse("leadership is not handed over between versions", "enable-leader-migration", "leader-migration-config", "external-cloud-provider")
}

func (v *controllerManagerFlags) fill(o *cluster.ControllerManager) (err error) {
	if o.Port, err = v.port.typed(); err != nil {
		return err
	}
	if err := known(o.Controllers); err != nil {
		return err
	}
	e := &o.Config
	if e.ClusterCIDRs, err = prefixes("cluster-cidr", v.clusterCIDR); err != nil {
		return err
	}
	if e.ServiceCIDRs, err = prefixes("service-cluster-ip-range", v.serviceCIDR); err != nil {
		return err
	}
	if e.AllocateNodeCIDRs && len(e.ClusterCIDRs) == 0 {
		return errors.New("--cluster-cidr is missing: --allocate-node-cidrs needs to know the pods' network")
	}
	if v.maskSize != 0 && e.NodeMaskSizeIPv4 == 0 {
		e.NodeMaskSizeIPv4 = v.maskSize
	}
	if err := masksFit(e.WithDefaults()); err != nil {
		return err
	}
	if e.TerminatedPodGCThreshold == 0 {
		e.TerminatedPodGCThreshold = -1 // ours for off
	}
	if v.rootCA != "" {
		if _, e.RootCA, err = readPool("root-ca-file", v.rootCA); err != nil {
			return err
		}
	}
	if v.tokenKey != "" {
		o.TokenKey, err = readKey("service-account-private-key-file", v.tokenKey)
	}
	return err
}

// masksFit finds a node mask that its cluster CIDR has no room for, before the role takes
// a lease that another could work under.
func masksFit(e env.Config) error {
	if !e.AllocateNodeCIDRs {
		return nil
	}
	for _, cidr := range e.ClusterCIDRs {
		flag, size := "node-cidr-mask-size-ipv6", e.NodeMaskSizeIPv6
		if cidr.Addr().Is4() {
			flag, size = "node-cidr-mask-size", e.NodeMaskSizeIPv4
		}
		if size < cidr.Bits() || size > cidr.Addr().BitLen() {
			return fmt.Errorf("--%s %d does not fit into --cluster-cidr %s: want %d to %d", flag, size, cidr, cidr.Bits(), cidr.Addr().BitLen())
		}
	}
	return nil
}

// known makes a wrong name in --controllers an error that lists the right ones.
func known(names []string) error {
	all := map[string]bool{"*": true}
	var list string
	for _, d := range controllers.All() {
		all[d.Name], all["-"+d.Name] = true, true
		list += " " + d.Name
	}
	for _, n := range names {
		if !all[n] {
			return fmt.Errorf("--controllers: %q is none of *%s", n, list)
		}
	}
	return nil
}

// count is the flag for a controller's number of workers.
type count struct {
	to         map[string]int
	controller string
}

func (c count) String() string { return "" }
func (c count) Type() string   { return "int32" }
func (c count) Set(s string) error {
	var n int
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n < 1 {
		return errors.New("want a number of workers, one or more")
	}
	c.to[c.controller] = n
	return nil
}

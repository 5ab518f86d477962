package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hyperkube/cluster"
	"hyperkube/network"
	"hyperkube/network/rules"
)

// networkCommand is the one role without a standard daemon: the part of a node
// that other clusters add as a CNI provider's DaemonSet.
func networkCommand() *cobra.Command {
	var (
		o           network.Options
		client      = cluster.Client{Agent: "hyperkube-network"}
		clusterCIDR string
		reserved    []string
		endpoint    string
		verbosity   int
	)
	c, f := roleCommand("network", "Run the pod network of this node: bridge, masquerading, CNI configuration", func(c *cobra.Command) (err error) {
		o.Log = roleLog("network", verbosity)
		if o.NodeName, err = nodeName(o.NodeName, "--node-name"); err != nil {
			return err
		}
		if o.ClusterCIDRs, err = prefixes("cluster-cidr", clusterCIDR); err != nil {
			return err
		}
		if len(o.ClusterCIDRs) == 0 {
			return errors.New("--cluster-cidr is missing: name the pods' network, as the controller manager's flag does")
		}
		if o.ReservedPorts, err = hostPorts("reserved-ports", reserved); err != nil {
			return err
		}
		return small(c.Context(), func(ctx context.Context) error { return cluster.RunNetwork(ctx, client, endpoint, o) })
	})
	c.Long = `Run the pod network of this node: the bridge, masquerading and the CNI configuration,
made from the podCIDR that the controller manager gave the node. The identity needs to
read nodes; the proxy's kubeconfig will do. containerd must look for plugins where
hyperkube-cni is, and for the configuration in --cni-conf-dir.`
	f.IntVarP(&verbosity, "v", "v", 0, "how much to log; 4 and more for finding faults")
	f.clientFlags(&client, 5, 10)
	f.StringVar(&o.NodeName, "node-name", "", "name of the node, when it is not the host's")
	f.StringVar(&clusterCIDR, "cluster-cidr", "", "networks of the pods: traffic to them keeps its source")
	f.StringVar(&o.ConfDir, "cni-conf-dir", network.DefaultConfDir, "where the CNI configuration is written")
	f.StringVar(&o.StateDir, "state-dir", "/var/lib/cni/hyperkube", "where given addresses and host ports are noted")
	f.StringVar(&o.Bridge, "bridge", network.DefaultBridge, "name of the pods' bridge")
	f.StringSliceVar(&reserved, "reserved-ports", []string{"10248/TCP", "10249/TCP", "10250/TCP", "10256/TCP"}, "ports of this host's own listeners (PORT/PROTOCOL), which no pod may have as hostPort; name the API server's and etcd's where they run on this host")
	f.IntVar(&o.MTU, "mtu", 0, "MTU of the pods' links (default: that of the default route's)")
	f.StringVar(&endpoint, "container-runtime-endpoint", "unix:///run/containerd/containerd.sock", "CRI socket that knows whose addresses are in use; empty: links alone tell")
	return c
}

// hostPorts reads ports as "10250/TCP"; without a protocol it is TCP.
func hostPorts(flag string, list []string) ([]rules.HostPort, error) {
	var out []rules.HostPort
	for _, s := range list {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		number, proto, ok := strings.Cut(s, "/")
		if proto = strings.ToUpper(proto); !ok {
			proto = "TCP"
		}
		p, err := strconv.ParseUint(number, 10, 16)
		if err != nil || p == 0 || proto != "TCP" && proto != "UDP" && proto != "SCTP" {
			return nil, fmt.Errorf("--%s %q: want a port like 6443/TCP", flag, s)
		}
		out = append(out, rules.HostPort{Protocol: proto, Port: uint16(p)})
	}
	return out, nil
}

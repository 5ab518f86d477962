package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hyperkube/cluster"
	"hyperkube/internal/bounds"
	"hyperkube/internal/logfile"
)

func upCommand() *cobra.Command {
	o := cluster.Default()
	o.DataDir = dataDir()
	var foreground bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a one-node cluster on this machine",
		Long: `Start a one-node cluster on this machine: etcd, API server, controllers, scheduler,
containerd, kubelet, network, proxy and DNS. Returns when the node is Ready and DNS
answers; the cluster runs on. Running it again is harmless, and takes over the
containers of a cluster that was stopped or killed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Version = version + "+" + buildMeta
			if err := o.Recall(c.Flags().Changed); err != nil {
				return err
			}
			if foreground {
				return upForeground(c, o)
			}
			return cluster.Daemon(c.Context(), o, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&o.DataDir, "data-dir", o.DataDir, "where everything of the cluster lies (env HYPERKUBE_DATA_DIR)")
	f.StringVar(&o.NodeName, "node-name", o.NodeName, "name of this node")
	f.StringVar(&o.NodeIP, "node-ip", "", "address of this node (default: that of the default route)")
	f.StringVar(&o.BindAddress, "bind-address", o.BindAddress, "address the API server listens on")
	f.IntVar(&o.APIPort, "port", o.APIPort, "port of the API server")
	f.IntVar(&o.KubeletPort, "kubelet-port", o.KubeletPort, "port of the kubelet")
	f.IntVar(&o.ProxyPort, "proxy-port", o.ProxyPort, "health port of the proxy")
	f.IntVar(&o.MetricsPort, "metrics-port", o.MetricsPort, "port on loopback for the metrics of all roles")
	f.StringVar(&o.PodCIDR, "pod-cidr", o.PodCIDR, "network of the pods")
	f.StringVar(&o.ServiceCIDR, "service-cidr", o.ServiceCIDR, "network of the services")
	f.StringVar(&o.ClusterDomain, "cluster-domain", o.ClusterDomain, "DNS domain of the cluster")
	f.StringVar(&o.NodePorts, "node-ports", o.NodePorts, "range of node ports")
	f.StringVar(&o.Bridge, "bridge", o.Bridge, "name of the pods' bridge")
	f.StringSliceVar(&o.EtcdServers, "etcd-servers", nil, "URLs of an etcd to use instead of the embedded one")
	f.StringSliceVar(&o.ExtraSANs, "cert-san", nil, "further names and addresses in the API server's certificate")
	f.BoolVar(&o.Ephemeral, "ephemeral", false, "keep etcd in memory: fast, and gone after a reboot")
	f.StringVar(&o.LogLevel, "log-level", o.LogLevel, "debug, info, warn or error")
	f.BoolVar(&o.StartEmpty, "start-empty", false, "the objects in etcd are lost: give them up and start with none")
	f.BoolVar(&o.NewCA, "new-ca", false, "a CA is lost or has expired: make it and all its certificates anew")
	f.BoolVar(&o.NewServiceAccountKey, "new-service-account-key", false, "the key of service-account tokens is lost: make it anew, all tokens end")
	f.BoolVar(&o.NewEncryptionKey, "new-encryption-key", false, "the key that secrets are encrypted under is lost: give the secrets up and make it anew")
	f.BoolVar(&foreground, "foreground", false, "stay in the foreground until interrupted")
	// How `up` starts the process that runs the cluster.
	f.IntVar(&o.LockFD, "lock-fd", 0, "")
	f.BoolVar(&o.Kept, "kept", false, "")
	f.StringVar(&o.Once, "once", "", "")
	errHidden := errors.Join(f.MarkHidden("lock-fd"), f.MarkHidden("kept"), f.MarkHidden("once"))
	if errHidden != nil {
		panic(errHidden) // a flag of this name is defined above
	}
	return c
}

func upForeground(c *cobra.Command, o cluster.Options) error {
	// A cluster holds much that lives long: garbage of three quarters of it is plenty.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(75)
	}
	// A closed terminal, or a starter that went, must not take the cluster along.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", o.LogLevel)
	}
	out := io.Writer(os.Stderr)
	if o.Kept {
		l, err := logfile.Open(logfile.Options{Path: cluster.PathsOf(o.DataDir).Log, MaxBytes: bounds.LogBytes, Keep: bounds.LogsKept, Streams: []int{2}})
		if err != nil {
			return err
		}
		defer l.Close()
		out = l
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
	bridgeKlog(log, 0)
	err := cluster.Up(c.Context(), o, log, cluster.Printer(c.OutOrStdout()))
	if errors.Is(err, cluster.ErrRunning) {
		fmt.Fprintln(c.OutOrStdout(), "The cluster is up already.")
		return nil
	}
	return err
}

func downCommand() *cobra.Command {
	dir := dataDir()
	c := &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster; containers and data stay",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			stopped, err := cluster.Down(c.Context(), dir)
			if err == nil && !stopped {
				fmt.Fprintln(c.OutOrStdout(), "The cluster was not running.")
			}
			return err
		},
	}
	c.Flags().StringVar(&dir, "data-dir", dir, "data directory of the cluster")
	return c
}

func resetCommand() *cobra.Command {
	dir := dataDir()
	var yes bool
	c := &cobra.Command{
		Use:   "reset",
		Short: "Remove every trace of the cluster from this machine",
		Long:  "Remove every trace of the cluster from this machine: processes, containers, mounts, cgroups, interfaces, nftables, files. The data is gone for good.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				return fmt.Errorf("this removes the cluster in %s and all its data: say --yes to go ahead", dir)
			}
			kept, err := cluster.Reset(c.Context(), dir, cluster.Printer(c.OutOrStdout()))
			if len(kept) > 0 {
				fmt.Fprintf(c.OutOrStdout(), "Kept in %s, as it is not the cluster's: %s\n", dir, strings.Join(kept, ", "))
			}
			return err
		},
	}
	c.Flags().StringVar(&dir, "data-dir", dir, "data directory of the cluster")
	c.Flags().BoolVar(&yes, "yes", false, "really do it")
	return c
}

func statusCommand() *cobra.Command {
	dir := dataDir()
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell whether the cluster runs and how its parts are",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := cluster.GetStatus(c.Context(), dir)
			if err != nil {
				return err
			}
			s.Print(c.OutOrStdout())
			if !s.Healthy() {
				return exitCode(3)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "data-dir", dir, "data directory of the cluster")
	return c
}

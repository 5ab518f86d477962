package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hyperkube/cluster"
	"hyperkube/network"
	"hyperkube/runtime"
	"hyperkube/runtime/carried"
)

func containerdCommand() *cobra.Command {
	var config, logFile string
	c := &cobra.Command{
		Use:   "containerd",
		Short: "Run containerd, the container runtime",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return small(c.Context(), func(ctx context.Context) error { return runtime.Serve(ctx, config, logFile) })
		},
	}
	c.Flags().StringVarP(&config, "config", "c", defaultContainerdConfig, "path to the configuration file")
	c.Flags().StringVar(&logFile, "log-file", "", "file to log to, which is rotated (default: standard error)")
	c.AddCommand(containerdConfigCommand())
	return c
}

const defaultContainerdConfig = "/etc/containerd/config.toml"

// containerdConfigCommand writes what the containerd role starts from.
func containerdConfigCommand() *cobra.Command {
	var (
		o       runtime.Config
		path    string
		libexec string
	)
	c := &cobra.Command{
		Use:   "config",
		Short: "Unpack runc, the shim and the CNI plugin, and write the configuration that names them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := os.Stat(path); err == nil {
				return fmt.Errorf("%s is there already: remove it first, or name another with --config", path)
			}
			if err := o.Check(); err != nil {
				return err
			}
			dir, err := carried.Unpack(libexec)
			if err != nil {
				return err
			}
			o.Libexec, o.CNIBinDir = dir, dir
			if err := runtime.WriteConfig(o, path); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), path)
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&path, "config", "c", defaultContainerdConfig, "where the configuration is written")
	f.StringVar(&libexec, "libexec", "/usr/local/libexec/hyperkube", "where the programs are unpacked")
	f.StringVar(&o.Root, "root", "/var/lib/containerd", "containerd's data")
	f.StringVar(&o.State, "state", "/run/containerd", "containerd's state, gone after a reboot")
	f.StringVarP(&o.Socket, "address", "a", "/run/containerd/containerd.sock", "containerd's socket")
	f.StringVar(&o.CNIConfDir, "cni-conf-dir", network.DefaultConfDir, "where the network role writes the CNI configuration")
	f.StringVar(&o.PauseImage, "sandbox-image", cluster.PauseImage, "image of pods' sandboxes; the default is made by `hyperkube image own`")
	f.StringVar(&o.RegistryConfigDir, "registry-config-dir", "", "folder with hosts.toml files for mirrors")
	return c
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"hyperkube/runtime"
)

func containerdCommand() *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "containerd",
		Short: "Run containerd, the container runtime",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return small(c.Context(), func(ctx context.Context) error { return runtime.Serve(ctx, config) })
		},
	}
	c.Flags().StringVarP(&config, "config", "c", "/etc/containerd/config.toml", "path to the configuration file")
	return c
}

package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// Stamped by the Makefile with -ldflags -X; they are read, never written.
var (
	version   = "v1.37.2"
	buildMeta = "hyperkube"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "Kubernetes %s+%s (%s, %s/%s)\n", version, buildMeta, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

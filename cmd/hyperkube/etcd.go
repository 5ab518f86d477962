package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"hyperkube/store/etcd"
)

func etcdCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "etcd",
		Short:              "Run an etcd member with etcd's own flags",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return etcd.Role(c.Context(), args, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
}

package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"hyperkube/dns"
)

func dnsCommand() *cobra.Command {
	var o dns.Options
	c := &cobra.Command{
		Use:   "dns",
		Short: "Run the cluster's name server (CoreDNS)",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			s, err := dns.New(o)
			if err != nil {
				return err
			}
			return small(c.Context(), s.Run)
		},
	}
	c.Flags().StringVarP(&o.Conf, "conf", "c", "/etc/coredns/Corefile", "path of the Corefile")
	return c
}

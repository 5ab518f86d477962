package cluster

import (
	"context"
	"errors"
	"log/slog"

	"hyperkube/network"
	"hyperkube/proxy"
)

// resetNetwork removes bridge, links, rules and addresses, by the names that the
// data directory remembers.
func resetNetwork(ctx context.Context, p Paths) error {
	bridge := Default().Bridge
	if id, err := ReadIdentity(p.Data); err == nil {
		bridge = id.Bridge
	}
	log := slog.New(slog.DiscardHandler)
	return errors.Join(
		network.Reset(ctx, network.Options{Bridge: bridge, ConfDir: p.CNIConf, StateDir: p.CNIState, Table: p.Table(), NetnsDir: p.Netns, Log: log}),
		proxy.Reset(ctx, proxy.Options{Table: p.ProxyTable(), Log: log}),
	)
}

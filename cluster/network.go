package cluster

import "context"

func resetNetwork(ctx context.Context, p Paths) error { return nil }

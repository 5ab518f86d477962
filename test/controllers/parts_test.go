package controllers_test

import (
	"context"

	"hyperkube/store"
)

// oneAddress stands for the service network.
type oneAddress struct{}

func (oneAddress) AllocateIP(_ context.Context, _ store.Key, want string) (string, error) {
	if want == "" {
		want = "10.32.0.1"
	}
	return want, nil
}
func (oneAddress) ReleaseIP(context.Context, string) {}
func (oneAddress) AllocatePort(_ context.Context, _ store.Key, want int32) (int32, error) {
	return max(want, 30000), nil
}
func (oneAddress) ReleasePort(context.Context, int32) {}

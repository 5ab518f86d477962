package backend

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestNamesOfErrors: what etcd says of a write and of a read has a name that tells whether
// anything may have been written, so that nobody is told of an internal error where a second
// try helps.
func TestNamesOfErrors(t *testing.T) {
	dropped := status.Error(codes.Unknown, raft.ErrProposalDropped.Error())
	for name, c := range map[string]struct {
		err         error
		write, read error
	}{
		"dropped":           {raft.ErrProposalDropped, ErrDown, ErrDown},
		"dropped, by gRPC":  {dropped, ErrDown, ErrDown},
		"too much":          {etcderrors.ErrTooManyRequests, ErrDown, ErrDown},
		"too much, by gRPC": {rpctypes.ErrTooManyRequests, ErrDown, ErrDown},
		"leader changed":    {rpctypes.ErrLeaderChanged, ErrUnsure, ErrDown},
		"timed out":         {rpctypes.ErrTimeout, ErrUnsure, ErrDown},
		"no leader":         {rpctypes.ErrNoLeader, ErrUnsure, ErrDown},
		"connection":        {status.Error(codes.Unavailable, "error reading from server: EOF"), ErrUnsure, ErrDown},
		"compacted":         {rpctypes.ErrCompacted, ErrCompacted, ErrCompacted},
		"no space":          {rpctypes.ErrNoSpace, ErrQuota, ErrQuota},
		"too large":         {rpctypes.ErrRequestTooLarge, ErrTooLarge, ErrTooLarge},
	} {
		if err := unsure(c.err); !errors.Is(err, c.write) {
			t.Errorf("%s: a write: %v, want %v", name, err, c.write)
		}
		if err := away(c.err); !errors.Is(err, c.read) {
			t.Errorf("%s: a read: %v, want %v", name, err, c.read)
		}
	}
	// An etcd that others run gives no room back by itself.
	if here, elsewhere := unsure(etcderrors.ErrNoSpace).Error(), unsure(rpctypes.ErrNoSpace).Error(); !strings.Contains(here, "comes back") || strings.Contains(elsewhere, "comes back") || !strings.Contains(elsewhere, "whoever runs etcd") {
		t.Errorf("no space: %q, elsewhere %q", here, elsewhere)
	}
	other := status.Error(codes.Unknown, "something else")
	if err := unsure(other); errors.Is(err, ErrDown) || errors.Is(err, ErrUnsure) {
		t.Errorf("what nobody knows: %v", err)
	}
}

package etcd

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// ready waits until the member answers, urging a sole one to lead.
func (m *member) ready(ctx context.Context, sole bool) error {
	member := m.etcd
	urge := time.NewTicker(leadEvery)
	defer urge.Stop()
	for {
		select {
		case <-member.Server.ReadyNotify():
			return nil
		case <-m.failed:
			return m.cause
		case err := <-member.Err():
			return err
		case <-member.Server.StopNotify():
			return errors.New("member stopped while starting")
		case <-ctx.Done():
			return fmt.Errorf("member is not ready: %w", ctx.Err())
		case <-urge.C:
			if sole {
				lead(ctx, member.Server)
			}
		}
	}
}

const leadEvery = 2 * time.Millisecond

// lead has the member begin its election now, as a leader that steps down
// would, instead of after an election timeout. Raft must have applied what it
// knows to be committed: before that a member may not stand, and asking it to
// can end in a panic.
func lead(ctx context.Context, s *etcdserver.EtcdServer) {
	id, kind := uint64(s.MemberID()), raftpb.MsgTimeoutNow
	st, ok := raftStatus()
	if !ok || st.ID != id || st.RaftState != raft.StateFollower || st.Applied == 0 || st.Applied < st.GetCommit() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// An error leaves the election to the clock.
	_ = s.Process(ctx, &raftpb.Message{Type: &kind, To: &id, From: &id})
}

// raftStatus is what etcd publishes of the raft node started last, which may
// be another member's in tests: members tell theirs by the id.
func raftStatus() (raft.Status, bool) {
	v, ok := expvar.Get("raft.status").(expvar.Func)
	if !ok {
		return raft.Status{}, false
	}
	st, ok := v.Value().(raft.Status)
	return st, ok
}

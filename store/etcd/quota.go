package etcd

import (
	"context"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"hyperkube/store/backend"
)

// When the database reaches its quota, etcd raises an alarm and takes nothing but deletions
// until somebody disarms it. Compaction makes pages free; only defragmentation, which stops
// the member for a while and writes the database anew, makes the file smaller, and the file is
// what the quota is about.
//
//	alarm ─▶ used < 9/10 of the quota? ─▶ room on the disk? ─▶ defragment ─▶ file < 9/10? ─▶ disarm
//	              └─ no: delete objects        └─ no: free the disk             └─ no: leave it armed
//
// The alarm of a cluster of several members is about each of them, and left to people.

// Relieve implements backend.Host.
func (s *Server) Relieve(ctx context.Context) error {
	m := s.member.Load()
	server, _, err := s.Running()
	if err != nil {
		return err
	}
	armed := slices.ContainsFunc(server.Alarms(), func(a *pb.AlarmMember) bool { return a.Alarm == pb.AlarmType_NOSPACE })
	if !armed {
		return nil
	}
	if !s.sole {
		return fmt.Errorf("%w: run `etcdctl defrag --cluster`, see that all members are below the quota, then `etcdctl alarm disarm`", backend.ErrQuota)
	}
	// etcd counts when it commits: what a burst wrote since is not in its figures before.
	server.Backend().ForceCommit()
	quota := m.etcd.Config().QuotaBackendBytes
	enough := quota / 10 * 9
	if _, used := s.Size(); used >= enough {
		return fmt.Errorf("%w: objects and their history take %d MiB of %d MiB: delete what is not needed", backend.ErrQuota, used>>20, quota>>20)
	}
	if total, used := s.Size(); total >= enough {
		if err := s.guard.spares(uint64(used)); err != nil {
			return fmt.Errorf("%w, and to make it smaller it is written anew: %w", backend.ErrQuota, err)
		}
		s.config.Log.Info("making etcd's database smaller, its quota is used up", "bytes", total, "used", used)
		if err := s.Defragment(); err != nil {
			return fmt.Errorf("making etcd's database smaller: %w", err)
		}
	}
	if total, _ := s.Size(); total >= enough {
		return fmt.Errorf("%w: the database still has %d MiB of %d MiB: delete what is not needed", backend.ErrQuota, total>>20, quota>>20)
	}
	if _, err := server.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: uint64(server.MemberID()), Alarm: pb.AlarmType_NOSPACE}); err != nil {
		return fmt.Errorf("disarming etcd's alarm: %w", err)
	}
	s.config.Log.Info("etcd takes writes again, its database is below the quota")
	return nil
}

// spares says whether the disk has room for so much more, and what etcd needs besides.
func (g *guard) spares(size uint64) error {
	r, err := g.statfs(g.dir)
	if err != nil {
		return fmt.Errorf("looking at the disk: %w", err)
	}
	if need := size + limitsOf(r.total).low; r.free < need {
		return &FullError{Dir: g.dir, Free: r.free, Need: need}
	}
	return nil
}

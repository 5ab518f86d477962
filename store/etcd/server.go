package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver"

	"hyperkube/store/backend"
)

// Server is a member that is started again when it fails.
type Server struct {
	config Config
	guard  *guard
	member atomic.Pointer[member]
	closed bool // nothing listens: the process is the only writer
	sole   bool // the cluster has no other member

	once     sync.Once
	stopping chan struct{}
	done     chan struct{}
	err      error // set before done is closed
}

var _ backend.Host = (*Server)(nil)

// ErrNewProcess: the member failed and this process cannot get rid of it. A new
// process can start on the data; this one should make way for it.
var ErrNewProcess = errors.New("etcd cannot be started again in this process")

// Start runs a member until Stop. ctx bounds the start only.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sole := len(c.ListenPeer) == 0
	s := &Server{
		config: c, guard: newGuard(c.Dir, !c.Ephemeral, c.Log), sole: sole, closed: sole && len(c.ListenClient) == 0,
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
	m, err := s.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	if err := claimDir(c.Dir, c.Cluster); err != nil {
		m.close(closeLimit)
		return nil, fmt.Errorf("etcd: %w", err)
	}
	s.member.Store(m)
	go s.keep(m)
	return s, nil
}

// start makes one member.
func (s *Server) start(ctx context.Context) (*member, error) {
	m := newMember()
	cfg, err := s.config.embed(m)
	if err != nil {
		return nil, err
	}
	if err := prepareDir(cfg.Dir, s.config.Cluster, s.sole); err != nil {
		return nil, err
	}
	if s.guard.look(); level(s.guard.state.Load()) == none {
		return nil, s.guard.full() // etcd would begin and fail halfway
	}
	if err := startMember(ctx, m, cfg, s.sole); err != nil {
		return nil, err
	}
	return m, nil
}

const (
	restartMin  = 100 * time.Millisecond
	restartMax  = 5 * time.Second
	startLimit  = time.Minute
	soundAfter  = time.Minute
	orderlyStop = 30 * time.Second
)

// keep runs until Stop, or until no member can run in this process.
func (s *Server) keep(m *member) {
	defer close(s.done)
	pause := restartMin
	for {
		began := time.Now()
		cause := s.attend(m)
		if cause == nil {
			m.close(orderlyStop)
			return
		}
		if errors.Is(cause, errRenew) {
			s.config.Log.Info("starting etcd anew, its log could not be prepared while the disk was full")
		} else {
			s.config.Log.Error("etcd member failed, starting it again", "err", cause)
		}
		m.fail(cause)
		if !m.close(closeLimit) {
			s.giveUp(cause)
			return
		}
		if time.Since(began) > soundAfter {
			pause = restartMin
		}
		for m = nil; m == nil; pause = min(2*pause, restartMax) {
			if !s.wait(pause) {
				return
			}
			if m = s.again(); m == nil && s.err != nil {
				return
			}
		}
		s.member.Store(m)
		s.config.Log.Info("etcd member runs again")
	}
}

// errRenew ends a member that would fail later.
var errRenew = errors.New("member is to be started anew")

// attend watches over a member: nil when the server is to stop, else why the
// member cannot go on.
func (s *Server) attend(m *member) error {
	left := make(chan struct{})
	defer close(left)
	go m.watch(left)
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-s.stopping:
			return nil
		case <-m.failed:
			return m.cause
		case <-s.guard.kick:
			tick.Reset(0)
		case <-tick.C:
			tick.Reset(s.guard.tick())
			if m.segmentLost.Load() && level(s.guard.state.Load()) == plenty {
				return errRenew
			}
		}
	}
}

// again tries to start a member after one that has closed.
func (s *Server) again() *member {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	m, err := s.start(ctx)
	if err == nil {
		return m
	}
	var full *FullError
	var unusable *UnusableError
	switch {
	case ctx.Err() != nil && stopped(s.stopping):
	case errors.As(err, &full): // told by the guard
	case errors.As(err, &unusable):
		s.giveUp(err)
	default:
		s.config.Log.Error("etcd member does not start, trying again", "err", err)
	}
	return nil
}

// giveUp waits until a new process would find room to start, and asks for it.
func (s *Server) giveUp(cause error) {
	s.config.Log.Error("etcd member holds on to its files, a new process is needed", "err", cause)
	for s.guard.look(); level(s.guard.state.Load()) != plenty; s.guard.look() {
		if !s.wait(urgentTick) {
			break
		}
	}
	s.err = fmt.Errorf("%w: %w", ErrNewProcess, cause)
}

// wait is false when the server is to stop.
func (s *Server) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stopping:
		return false
	}
}

func stopped(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Running is the member for the store's direct backend, with a context that
// ends when it fails; backend.ErrDown while there is none.
func (s *Server) Running() (*etcdserver.EtcdServer, context.Context, error) {
	m := s.member.Load()
	if stopped(m.failed) {
		return nil, nil, fmt.Errorf("%w: %w", backend.ErrDown, m.cause)
	}
	return m.etcd.Server, m.life, nil
}

// Admit says whether etcd has room for a write of so many bytes; removals need
// less. The error is a *FullError.
func (s *Server) Admit(size int, removal bool) error { return s.guard.admit(size, removal) }

// Exclusive says that no other process can write to this member.
func (s *Server) Exclusive() bool { return s.closed }

// Sole says that the member is the only one of its cluster and stays so.
func (s *Server) Sole() bool { return s.sole }

// Done is closed when no member runs any more: after Stop, or when this process
// cannot start another one.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why Done is closed: nil after Stop, else an ErrNewProcess.
func (s *Server) Err() error {
	if !stopped(s.done) {
		return nil
	}
	return s.err
}

// Stop ends the member and waits for its goroutines.
func (s *Server) Stop() {
	s.once.Do(func() { close(s.stopping) })
	<-s.done
}

// Size is the size of the database file and the part of it in use, 0 while
// there is no member.
func (s *Server) Size() (total, used int64) {
	e, _, err := s.Running()
	if err != nil {
		return 0, 0
	}
	b := e.Backend()
	return b.Size(), b.SizeInUse()
}

// ClusterID is the identity etcd computed for its cluster, in hex.
func (s *Server) ClusterID() string {
	return strconv.FormatUint(uint64(s.member.Load().etcd.Server.Cluster().ID()), 16)
}

// Defragment gives free pages back to the file system. Writes wait meanwhile.
func (s *Server) Defragment() error {
	e, _, err := s.Running()
	if err != nil {
		return err
	}
	return e.Backend().Defrag()
}

package backend

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/etcdserver"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/raft/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Host is where the member runs. Members come and go: one that fails is
// followed by another.
type Host interface {
	// Running is the member now, and a context that ends when it fails.
	Running() (server *etcdserver.EtcdServer, life context.Context, err error)
	// Admit refuses writes that the member has no room for.
	Admit(size int, removal bool) error
	// Relieve is that of a Backend.
	Relieve(ctx context.Context) error
}

// Embedded calls the member of this process without gRPC in between.
type Embedded struct {
	host      Host
	exclusive bool
	sole      bool
	seen      atomic.Pointer[position]
}

// position pairs a raft index with the revision a member had when every entry
// up to that index was applied.
type position struct {
	server *etcdserver.EtcdServer
	index  uint64
	rev    int64
}

// NewEmbedded wraps a started member. exclusive: no other process can write.
// sole: the member is its cluster's only one. The member's life is the caller's.
func NewEmbedded(host Host, exclusive, sole bool) *Embedded {
	return &Embedded{host: host, exclusive: exclusive, sole: sole || exclusive}
}

func guard(key string, expect int64) []*pb.Compare {
	return []*pb.Compare{{
		Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: []byte(key),
		TargetUnion: &pb.Compare_ModRevision{ModRevision: expect},
	}}
}

// Write implements Backend.
func (e *Embedded) Write(ctx context.Context, w Write) (int64, bool, error) {
	return e.txn(ctx, &pb.TxnRequest{
		Compare: guard(w.Key, w.Expect),
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(w.Key), Value: w.Value, Lease: w.Lease},
		}}},
	}, len(w.Key)+len(w.Value), false)
}

// Remove implements Backend.
func (e *Embedded) Remove(ctx context.Context, key string, expect int64) (int64, bool, error) {
	return e.txn(ctx, &pb.TxnRequest{
		Compare: guard(key, expect),
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)},
		}}},
	}, len(key), true)
}

func (e *Embedded) txn(ctx context.Context, r *pb.TxnRequest, size int, removal bool) (int64, bool, error) {
	if err := e.host.Admit(size, removal); err != nil {
		return 0, false, err
	}
	server, life, err := e.host.Running()
	if err != nil {
		return 0, false, err
	}
	ctx, done := within(ctx, life)
	defer done()
	resp, err := server.Txn(ctx, r)
	switch {
	case err != nil && life.Err() != nil: // it may lie in the log, and the next member applies it
		return 0, false, ErrUnsure
	case err != nil:
		return 0, false, known(err)
	}
	return resp.Header.Revision, resp.Succeeded, nil
}

// within is ctx that also ends with the member, for calls that only wait for
// what raft makes of them.
func within(ctx, life context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// ended names the error of such a call.
func ended(life context.Context, err error) error {
	if life.Err() != nil {
		return ErrDown
	}
	return known(err)
}

// bounded calls what may wait for a lock that a failed member holds for ever.
// It does not return before call does for any other reason: a member that is
// stopped while it is being called panics.
func bounded[T any](life context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := call()
		done <- answer{v, err}
	}()
	var none T
	select {
	case a := <-done:
		return a.v, a.err
	case <-life.Done():
		return none, ErrDown
	}
}

// Range implements Backend.
func (e *Embedded) Range(ctx context.Context, r Range) (Page, error) {
	server, life, err := e.host.Running()
	if err != nil {
		return Page{}, err
	}
	resp, err := bounded(life, func() (*pb.RangeResponse, error) {
		return server.Range(ctx, &pb.RangeRequest{
			Key: []byte(r.Start), RangeEnd: []byte(r.End), Revision: r.Revision, Limit: r.Limit,
			Serializable: e.sole && r.Revision > 0,
		})
	})
	if err != nil {
		return Page{}, known(err)
	}
	return page(resp.Kvs, resp.More, resp.Header.Revision), nil
}

func page(kvs []*mvccpb.KeyValue, more bool, rev int64) Page {
	p := Page{KVs: make([]KV, len(kvs)), More: more, Revision: rev}
	for i, kv := range kvs {
		p.KVs[i] = KV{Key: kv.Key, Value: kv.Value, Revision: kv.ModRevision}
	}
	return p
}

// known gives etcd's errors the names that the store knows.
func known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mvcc.ErrCompacted), errors.Is(err, rpctypes.ErrCompacted):
		return ErrCompacted
	case errors.Is(err, etcderrors.ErrNoSpace): // the member of this process, whose room Relieve gives back
		return fmt.Errorf("%w: delete what is not needed; the room that gives comes back within minutes", ErrQuota)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: whoever runs etcd must make room in it, the log of the API server says how", ErrQuota)
	}
	if errors.Is(err, etcderrors.ErrRequestTooLarge) || errors.Is(err, rpctypes.ErrRequestTooLarge) {
		return fmt.Errorf("%w (%w): make the object smaller", ErrTooLarge, err)
	}
	if declined(err) {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	return err
}

// declined says that a member took no request in: while its cluster hands over to another leader,
// as at each orderly stop of one, or while it has too much to do. gRPC has no code for the first.
func declined(err error) bool {
	if errors.Is(err, raft.ErrProposalDropped) || errors.Is(err, etcderrors.ErrTooManyRequests) || errors.Is(err, rpctypes.ErrTooManyRequests) {
		return true
	}
	s, ok := status.FromError(err)
	return ok && s.Code() == codes.Unknown && s.Message() == raft.ErrProposalDropped.Error()
}

// Revision implements Backend.
func (e *Embedded) Revision(ctx context.Context) (int64, error) {
	server, life, err := e.host.Running()
	if err != nil {
		return 0, err
	}
	return bounded(life, func() (int64, error) {
		if err := server.LinearizableReadNotify(ctx); err != nil {
			return 0, err
		}
		return local(server), nil
	})
}

func local(server *etcdserver.EtcdServer) int64 {
	tx := server.KV().Read(mvcc.SharedBufReadTxMode, traceutil.TODO())
	defer tx.End()
	return tx.Rev()
}

// Current implements Backend. A write is acknowledged after it was applied and
// applied after it was committed, so as long as the committed index stands
// still the revision does too.
func (e *Embedded) Current() (int64, bool) {
	if e.exclusive {
		return 0, true
	}
	if !e.sole {
		return 0, false
	}
	server, life, err := e.host.Running()
	if err != nil {
		return 0, false
	}
	index := server.CommittedIndex()
	if p := e.seen.Load(); p != nil && p.server == server && p.index == index {
		return p.rev, true
	}
	applied := server.AppliedIndex() >= index
	rev, err := bounded(life, func() (int64, error) { return local(server), nil })
	if err != nil {
		return 0, false
	}
	if applied {
		e.seen.Store(&position{server, index, rev})
	}
	return rev, true
}

// Grant implements Backend.
func (e *Embedded) Grant(ctx context.Context, ttl int64) (int64, error) {
	if err := e.host.Admit(0, false); err != nil {
		return 0, err
	}
	server, life, err := e.host.Running()
	if err != nil {
		return 0, err
	}
	ctx, done := within(ctx, life)
	defer done()
	resp, err := server.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: ttl})
	if err != nil {
		return 0, ended(life, err)
	}
	return resp.ID, nil
}

// Compact implements Backend.
func (e *Embedded) Compact(ctx context.Context, rev int64) error {
	server, life, err := e.host.Running()
	if err != nil {
		return err
	}
	_, err = bounded(life, func() (*pb.CompactionResponse, error) {
		return server.Compact(ctx, &pb.CompactionRequest{Revision: rev, Physical: true})
	})
	return known(err)
}

// Relieve implements Backend.
func (e *Embedded) Relieve(ctx context.Context) error { return e.host.Relieve(ctx) }

// Close implements Backend; the member goes on.
func (e *Embedded) Close() error { return nil }

// Watch implements Backend.
func (e *Embedded) Watch(ctx context.Context, start, end string, from int64) (Watch, error) {
	server, life, err := e.host.Running()
	if err != nil {
		return nil, err
	}
	w, err := bounded(life, func() (*embeddedWatch, error) {
		stream := server.Watchable().NewWatchStream()
		id, err := stream.Watch(ctx, 0, []byte(start), []byte(end), from)
		if err != nil {
			stream.Close()
			return nil, fmt.Errorf("watching %s: %w", start, err)
		}
		return &embeddedWatch{stream: stream, id: id, stopped: server.StopNotify(), life: life}, nil
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

type embeddedWatch struct {
	stream  mvcc.WatchStream
	id      mvcc.WatchID
	stopped <-chan struct{}
	life    context.Context // of the member
	buf     []Event
}

var errStopped = errors.New("etcd member stopped")

// Next takes all that is waiting, so that a burst costs one round of the caller.
func (w *embeddedWatch) Next(ctx context.Context) (Events, error) {
	select {
	case r, ok := <-w.stream.Chan():
		return w.gather(r, ok)
	case <-ctx.Done():
		return Events{}, ctx.Err()
	case <-w.stopped:
		return Events{}, errStopped
	case <-w.life.Done():
		return Events{}, ErrDown
	}
}

const gatherLimit = 256

func (w *embeddedWatch) gather(r mvcc.WatchResponse, ok bool) (Events, error) {
	out := Events{Events: w.buf[:0]}
	for {
		if !ok {
			return Events{}, errStopped
		}
		if r.CompactRevision != 0 {
			return Events{}, ErrCompacted
		}
		out = appendEvents(out, r)
		if len(out.Events) >= gatherLimit {
			break
		}
		select {
		case r, ok = <-w.stream.Chan():
			continue
		default:
		}
		break
	}
	w.buf = out.Events
	return out, nil
}

// appendEvents adds a response. The revision of a delayed response is etcd's,
// which may be ahead of what this watch was given, so only the events' own
// revisions and those of progress answers count.
func appendEvents(out Events, r mvcc.WatchResponse) Events {
	for _, ev := range r.Events {
		out.Events = append(out.Events, Event{
			KV:      KV{Key: ev.Kv.Key, Value: ev.Kv.Value, Revision: ev.Kv.ModRevision},
			Deleted: ev.Type == mvccpb.Event_DELETE,
		})
		out.Revision = ev.Kv.ModRevision
	}
	if len(r.Events) == 0 {
		out.Revision = max(out.Revision, r.Revision)
	}
	return out
}

// Progress implements Watch.
func (w *embeddedWatch) Progress(context.Context) error {
	_, err := bounded(w.life, func() (struct{}, error) {
		w.stream.RequestProgress(w.id)
		return struct{}{}, nil
	})
	return err
}

// Stop implements Watch. The stream of a failed member may never close.
func (w *embeddedWatch) Stop() {
	_, _ = bounded(w.life, func() (struct{}, error) {
		w.stream.Close()
		return struct{}{}, nil
	})
}

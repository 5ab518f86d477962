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
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// Embedded calls the member of this process without gRPC in between.
type Embedded struct {
	server    *etcdserver.EtcdServer
	exclusive bool
	sole      bool
	seen      atomic.Pointer[position]
}

// position pairs a raft index with the revision etcd had when every entry up
// to that index was applied.
type position struct {
	index uint64
	rev   int64
}

// NewEmbedded wraps a started member. exclusive: no other process can write.
// sole: the member is its cluster's only one. The member's life is the caller's.
func NewEmbedded(server *etcdserver.EtcdServer, exclusive, sole bool) *Embedded {
	return &Embedded{server: server, exclusive: exclusive, sole: sole || exclusive}
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
	})
}

// Remove implements Backend.
func (e *Embedded) Remove(ctx context.Context, key string, expect int64) (int64, bool, error) {
	return e.txn(ctx, &pb.TxnRequest{
		Compare: guard(key, expect),
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)},
		}}},
	})
}

func (e *Embedded) txn(ctx context.Context, r *pb.TxnRequest) (int64, bool, error) {
	resp, err := e.server.Txn(ctx, r)
	if err != nil {
		return 0, false, err
	}
	return resp.Header.Revision, resp.Succeeded, nil
}

// Range implements Backend.
func (e *Embedded) Range(ctx context.Context, r Range) (Page, error) {
	resp, err := e.server.Range(ctx, &pb.RangeRequest{
		Key: []byte(r.Start), RangeEnd: []byte(r.End), Revision: r.Revision, Limit: r.Limit,
		Serializable: e.sole && r.Revision > 0,
	})
	if err != nil {
		return Page{}, compacted(err)
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

func compacted(err error) error {
	if errors.Is(err, mvcc.ErrCompacted) || errors.Is(err, rpctypes.ErrCompacted) {
		return ErrCompacted
	}
	return err
}

// Revision implements Backend.
func (e *Embedded) Revision(ctx context.Context) (int64, error) {
	if err := e.server.LinearizableReadNotify(ctx); err != nil {
		return 0, err
	}
	return e.local(), nil
}

func (e *Embedded) local() int64 {
	tx := e.server.KV().Read(mvcc.SharedBufReadTxMode, traceutil.TODO())
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
	index := e.server.CommittedIndex()
	if p := e.seen.Load(); p != nil && p.index == index {
		return p.rev, true
	}
	applied := e.server.AppliedIndex() >= index
	rev := e.local()
	if applied {
		e.seen.Store(&position{index, rev})
	}
	return rev, true
}

// Grant implements Backend.
func (e *Embedded) Grant(ctx context.Context, ttl int64) (int64, error) {
	resp, err := e.server.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: ttl})
	if err != nil {
		return 0, err
	}
	return resp.ID, nil
}

// Compact implements Backend.
func (e *Embedded) Compact(ctx context.Context, rev int64) error {
	_, err := e.server.Compact(ctx, &pb.CompactionRequest{Revision: rev, Physical: true})
	return compacted(err)
}

// Close implements Backend; the member goes on.
func (e *Embedded) Close() error { return nil }

// Watch implements Backend.
func (e *Embedded) Watch(ctx context.Context, start, end string, from int64) (Watch, error) {
	stream := e.server.Watchable().NewWatchStream()
	id, err := stream.Watch(ctx, 0, []byte(start), []byte(end), from)
	if err != nil {
		stream.Close()
		return nil, fmt.Errorf("watching %s: %w", start, err)
	}
	return &embeddedWatch{stream: stream, id: id, done: e.server.StopNotify()}, nil
}

type embeddedWatch struct {
	stream mvcc.WatchStream
	id     mvcc.WatchID
	done   <-chan struct{}
	buf    []Event
}

var errStopped = errors.New("etcd member stopped")

// Next takes all that is waiting, so that a burst costs one round of the caller.
func (w *embeddedWatch) Next(ctx context.Context) (Events, error) {
	select {
	case r, ok := <-w.stream.Chan():
		return w.gather(r, ok)
	case <-ctx.Done():
		return Events{}, ctx.Err()
	case <-w.done:
		return Events{}, errStopped
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
	w.stream.RequestProgress(w.id)
	return nil
}

// Stop implements Watch.
func (w *embeddedWatch) Stop() { w.stream.Close() }

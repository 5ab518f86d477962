package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Client reaches any etcd over gRPC.
type Client struct{ c *clientv3.Client }

// DialOptions say where etcd is.
type DialOptions struct {
	Servers []string
	TLS     *tls.Config
	Log     *slog.Logger
}

const (
	dialTimeout = 10 * time.Second
	// callTimeout bounds calls whose context has no end of its own: an etcd
	// without a leader would keep them for ever.
	callTimeout = 30 * time.Second
)

// Dial connects and makes sure that somebody answers.
func Dial(ctx context.Context, o DialOptions) (*Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: o.Servers, TLS: o.TLS, Logger: zap.NewNop(),
		DialTimeout: dialTimeout, DialKeepAliveTime: 30 * time.Second, DialKeepAliveTimeout: 10 * time.Second,
		MaxCallSendMsgSize: 16 << 20, MaxCallRecvMsgSize: 1 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("etcd %v: %w", o.Servers, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	b := &Client{c: c}
	if _, err := b.Revision(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("etcd %v does not answer: %w", o.Servers, err)
	}
	return b, nil
}

// Write implements Backend.
func (b *Client) Write(ctx context.Context, w Write) (int64, bool, error) {
	var opts []clientv3.OpOption
	if w.Lease != 0 {
		opts = append(opts, clientv3.WithLease(clientv3.LeaseID(w.Lease)))
	}
	return b.txn(ctx, w.Key, w.Expect, clientv3.OpPut(w.Key, string(w.Value), opts...))
}

// Remove implements Backend.
func (b *Client) Remove(ctx context.Context, key string, expect int64) (int64, bool, error) {
	return b.txn(ctx, key, expect, clientv3.OpDelete(key))
}

func (b *Client) txn(ctx context.Context, key string, expect int64, op clientv3.Op) (int64, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := b.c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", expect)).Then(op).Commit()
	if err != nil {
		return 0, false, known(err)
	}
	return resp.Header.Revision, resp.Succeeded, nil
}

// Range implements Backend.
func (b *Client) Range(ctx context.Context, r Range) (Page, error) {
	opts := []clientv3.OpOption{clientv3.WithRange(r.End), clientv3.WithLimit(r.Limit)}
	if r.Revision > 0 {
		opts = append(opts, clientv3.WithRev(r.Revision))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := b.c.Get(ctx, r.Start, opts...)
	if err != nil {
		return Page{}, known(err)
	}
	return page(resp.Kvs, resp.More, resp.Header.Revision), nil
}

// Revision implements Backend. The key read does not matter, so it is one that
// cannot exist.
func (b *Client) Revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := b.c.Get(ctx, "\x00", clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// Current implements Backend: others may have written.
func (b *Client) Current() (int64, bool) { return 0, false }

// Grant implements Backend.
func (b *Client) Grant(ctx context.Context, ttl int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := b.c.Grant(ctx, ttl)
	if err != nil {
		return 0, known(err)
	}
	return int64(resp.ID), nil
}

// Compact implements Backend.
func (b *Client) Compact(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := b.c.Compact(ctx, rev, clientv3.WithCompactPhysical())
	return known(err)
}

// Relieve implements Backend: an etcd that others run is theirs to defragment, which stops a member for a while. It is
// for them too to say that the room is enough.
func (b *Client) Relieve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	alarms, err := b.c.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("asking etcd for its alarms: %w", err)
	}
	if !slices.ContainsFunc(alarms.Alarms, func(a *pb.AlarmMember) bool { return a.Alarm == pb.AlarmType_NOSPACE }) {
		return nil
	}
	etcdctl := "etcdctl --endpoints=" + strings.Join(b.c.Endpoints(), ",")
	return fmt.Errorf("%w, its history is compacted; now run (with --cacert, --cert and --key where it has TLS) `%s defrag --cluster`, see in `%s endpoint status --cluster -w table` that each DB SIZE is below the quota "+
		"(else delete objects, or raise --quota-backend-bytes), and then run `%s alarm disarm`", ErrQuota, etcdctl, etcdctl, etcdctl)
}

// Close implements Backend.
func (b *Client) Close() error { return b.c.Close() }

// Watch implements Backend. It needs a leader: a member cut off from the
// others ends it instead of falling silent.
func (b *Client) Watch(ctx context.Context, start, end string, from int64) (Watch, error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	ch := b.c.Watch(ctx, start, clientv3.WithRange(end), clientv3.WithRev(from))
	return &clientWatch{c: b.c, ctx: ctx, cancel: cancel, ch: ch}, nil
}

type clientWatch struct {
	c      *clientv3.Client
	ctx    context.Context // the watch's own: it names the stream in Progress
	cancel context.CancelFunc
	ch     clientv3.WatchChan
	buf    []Event
}

// Next implements Watch.
func (w *clientWatch) Next(ctx context.Context) (Events, error) {
	select {
	case r, ok := <-w.ch:
		if !ok {
			return Events{}, errors.New("etcd watch ended")
		}
		if err := r.Err(); err != nil {
			return Events{}, known(err)
		}
		return w.events(r), nil
	case <-ctx.Done():
		return Events{}, ctx.Err()
	}
}

func (w *clientWatch) events(r clientv3.WatchResponse) Events {
	out := Events{Events: w.buf[:0]}
	for _, ev := range r.Events {
		out.Events = append(out.Events, Event{
			KV:      KV{Key: ev.Kv.Key, Value: ev.Kv.Value, Revision: ev.Kv.ModRevision},
			Deleted: ev.Type == clientv3.EventTypeDelete,
		})
		out.Revision = ev.Kv.ModRevision
	}
	if r.IsProgressNotify() {
		out.Revision = r.Header.Revision
	}
	w.buf = out.Events
	return out
}

// Progress implements Watch.
func (w *clientWatch) Progress(context.Context) error { return w.c.RequestProgress(w.ctx) }

// Stop implements Watch.
func (w *clientWatch) Stop() { w.cancel() }

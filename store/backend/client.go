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
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// Client reaches any etcd over gRPC.
type Client struct {
	c    *clientv3.Client
	line *timeline
}

// DialOptions say where etcd is.
type DialOptions struct {
	Servers []string
	TLS     *tls.Config
	Log     *slog.Logger
	// Wait: an etcd that does not answer is told and waited for, until ctx ends.
	Wait bool
}

const (
	dialTimeout = 10 * time.Second
	// callTimeout bounds calls whose context has no end of its own: an etcd
	// without a leader would keep them for ever.
	callTimeout = 30 * time.Second
	// askTimeout is one member's time for what any of them can answer; then
	// another is asked.
	askTimeout = 2 * time.Second
	// pingAfter and pingTimeout find a member that is frozen or cut off while
	// calls and watches hang on it: gRPC pings no earlier.
	pingAfter   = 10 * time.Second
	pingTimeout = 4 * time.Second
	// redialMax is the longest pause before a member that was gone is tried again.
	redialMax = 2 * time.Second
)

// Dial connects and makes sure that somebody answers.
func Dial(ctx context.Context, o DialOptions) (*Client, error) {
	redial := backoff.DefaultConfig
	redial.BaseDelay, redial.MaxDelay = redialMax/8, redialMax
	c, err := clientv3.New(clientv3.Config{
		Endpoints: o.Servers, TLS: o.TLS, Logger: zap.NewNop(),
		DialTimeout: dialTimeout, DialKeepAliveTime: pingAfter, DialKeepAliveTimeout: pingTimeout,
		MaxCallSendMsgSize: 16 << 20, MaxCallRecvMsgSize: 1 << 30,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: redial, MinConnectTimeout: dialTimeout / 2})},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd %v: %w", o.Servers, err)
	}
	b := &Client{c: c, line: newTimeline()}
	if err := b.greet(ctx, o); err != nil {
		c.Close()
		return nil, fmt.Errorf("etcd %v does not answer: %w", o.Servers, err)
	}
	return b, nil
}

// greet waits for the first answer and tells why there is none.
func (b *Client) greet(ctx context.Context, o DialOptions) error {
	if !o.Wait {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, dialTimeout)
		defer cancel()
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	told := trouble.New(log, nil, "reaching etcd")
	for {
		try, cancel := context.WithTimeout(ctx, askTimeout)
		_, err := b.ask(try)
		cancel()
		if err == nil {
			told.Well()
			return nil
		}
		if ctx.Err() != nil && o.Wait {
			return ctx.Err()
		}
		// The client's own words are those of a clock.
		if cause := o.diagnose(context.WithoutCancel(ctx)); cause != nil {
			err = cause
		}
		if ctx.Err() != nil {
			return err
		}
		told.Failed(err, "servers", o.Servers)
		supervise.Pause(ctx, redialMax/4)
	}
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
	least, err := b.line.begin()
	if err != nil {
		return 0, false, err
	}
	resp, err := b.c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", expect)).Then(op).Commit()
	if err != nil {
		return 0, false, unsure(err)
	}
	return resp.Header.Revision, resp.Succeeded, b.line.check(least, resp.Header)
}

// unavailable are the errors of members without a leader, or that are gone.
func unavailable(err error) bool {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code() == codes.Unavailable
	}
	return status.Code(err) == codes.Unavailable
}

// away names the error of a call that changes nothing.
func away(err error) error {
	if unavailable(err) {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	return known(err)
}

// unsure names the error of a write: what got no answer may have happened.
func unsure(err error) error {
	if unavailable(err) {
		return fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	return known(err)
}

// Range implements Backend.
func (b *Client) Range(ctx context.Context, r Range) (Page, error) {
	opts := []clientv3.OpOption{clientv3.WithRange(r.End), clientv3.WithLimit(r.Limit)}
	if r.Revision > 0 {
		opts = append(opts, clientv3.WithRev(r.Revision))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	least, err := b.line.begin()
	if err != nil {
		return Page{}, err
	}
	resp, err := b.c.Get(ctx, r.Start, opts...)
	if err != nil {
		return Page{}, away(err)
	}
	if err := b.line.check(least, resp.Header); err != nil {
		return Page{}, err
	}
	return page(resp.Kvs, resp.More, resp.Header.Revision), nil
}

// Revision implements Backend. A member that is silent is not waited for while
// others may answer.
func (b *Client) Revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, askTimeout)
		rev, err := b.ask(try)
		silent := try.Err() != nil && ctx.Err() == nil
		stop()
		if err == nil || !silent {
			return rev, err
		}
	}
}

// ask is one try of Revision. The key read does not matter, so it is one that
// cannot exist.
func (b *Client) ask(ctx context.Context) (int64, error) {
	least, err := b.line.begin()
	if err != nil {
		return 0, err
	}
	resp, err := b.c.Get(ctx, "\x00", clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return 0, away(err)
	}
	return resp.Header.Revision, b.line.check(least, resp.Header)
}

// Current implements Backend: others may have written.
func (b *Client) Current() (int64, bool) { return 0, false }

// Grant implements Backend.
func (b *Client) Grant(ctx context.Context, ttl int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := b.c.Grant(ctx, ttl)
	if err != nil {
		return 0, away(err)
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
	if _, err := b.line.begin(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	ch := b.c.Watch(ctx, start, clientv3.WithRange(end), clientv3.WithRev(from))
	return &clientWatch{c: b.c, line: b.line, ctx: ctx, cancel: cancel, ch: ch}, nil
}

type clientWatch struct {
	c      *clientv3.Client
	line   *timeline
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
	case <-w.line.ended: // etcd keeps a watch of a revision to come for ever
		return Events{}, w.line.err
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
	w.line.seen(out.Revision)
	return out
}

// Progress implements Watch.
func (w *clientWatch) Progress(context.Context) error { return w.c.RequestProgress(w.ctx) }

// Stop implements Watch.
func (w *clientWatch) Stop() { w.cancel() }

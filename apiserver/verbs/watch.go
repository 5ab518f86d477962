package verbs

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"hyperkube/apiserver/codec"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/stall"
	"hyperkube/internal/bounds"
	"hyperkube/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Watches without timeoutSeconds end after this long and up to twice as long,
// so that clients do not all come back at once.
const watchFor = 30 * time.Minute

// watchStall is how long a client may take for one piece of a watch.
const watchStall = 10 * time.Second

func (c *call) watch() error {
	o, err := c.listOptions()
	if err != nil {
		return err
	}
	wo, err := c.ep.watchRequest(c.key.Namespace, o)
	if err != nil {
		return err
	}
	wo.Account = request.AccountFrom(c.ctx)
	if err := c.onlyNamed(&wo.Filter); err != nil {
		return err
	}
	flusher, ok := c.w.(http.Flusher)
	if !ok {
		return errors.New("the connection cannot stream")
	}
	ctx, cancel := context.WithTimeout(c.ctx, watchTime(o))
	defer cancel()
	defer context.AfterFunc(c.Stopping, cancel)()
	if err := c.ep.startNow(ctx, o, &wo); err != nil {
		return c.explain(err, "")
	}
	frames := &codec.Frames{View: c.ep.View, Media: c.media, New: c.ep.New}
	c.w.Header().Set("Content-Type", frames.ContentType())
	c.w.Header().Set("Cache-Control", "no-cache, private")
	watcher, err := c.ep.Collection.Watch(ctx, wo)
	if err != nil {
		return c.endWatch(frames, err)
	}
	defer watcher.Stop()
	c.w.WriteHeader(http.StatusOK)
	flusher.Flush()
	return c.stream(ctx, watcher, frames, flusher)
}

func watchTime(o *metav1.ListOptions) time.Duration {
	if o.TimeoutSeconds != nil && *o.TimeoutSeconds > 0 {
		return bounds.Seconds(*o.TimeoutSeconds)
	}
	return watchFor + rand.N(watchFor)
}

// watchRequest gives resourceVersion and sendInitialEvents their meaning.
func (e endpoint) watchRequest(namespace string, o *metav1.ListOptions) (store.WatchOptions, error) {
	wo := store.WatchOptions{Bookmarks: o.AllowWatchBookmarks}
	var err error
	if wo.Filter, err = e.filter(namespace, o); err != nil {
		return wo, err
	}
	rv, err := parseRevision(o.ResourceVersion)
	if err != nil {
		return wo, err
	}
	switch {
	case o.SendInitialEvents != nil && *o.SendInitialEvents:
		wo.Initial, wo.EndOfInitial = true, o.AllowWatchBookmarks
		wo.Latest, wo.Min = o.ResourceVersion == "" || rv > 0, rv
	case rv > 0:
		wo.From = rv
	case o.SendInitialEvents == nil:
		wo.Initial, wo.Latest = true, o.ResourceVersion == ""
	}
	return wo, nil
}

// startNow makes a watch that wants no initial events begin at the present revision.
func (e endpoint) startNow(ctx context.Context, o *metav1.ListOptions, wo *store.WatchOptions) error {
	if wo.Initial || wo.From > 0 {
		return nil
	}
	l, err := e.Collection.List(ctx, store.ListOptions{Limit: 1, Freshness: store.Freshness{Any: o.ResourceVersion == "0"}})
	if err != nil {
		return err
	}
	wo.From = l.Revision
	return nil
}

// stream sends batches until the watch ends, in pieces of a bounded size, and lends
// a buffer only while it sends. A client that does not take a piece in time is cut
// off: it would keep what the store holds for it without end.
func (c *call) stream(ctx context.Context, w store.Watcher, frames *codec.Frames, flusher http.Flusher) error {
	out := &pieces{call: c, watcher: w, guard: stall.New(c.w, c.WatchStall), flusher: flusher}
	defer out.guard.Close()
	for {
		events, err := w.Next(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, store.ErrSlow) && !errors.Is(err, store.ErrClosed) {
				return c.endWatch(frames, err)
			}
			return nil
		}
		encoding, sending := out.batch(events, frames)
		if encoding != nil {
			return c.endWatch(frames, encoding)
		}
		if sending != nil {
			return nil // the client is gone
		}
	}
}

// pieces writes a watch.
type pieces struct {
	*call
	watcher store.Watcher
	guard   *stall.Guard
	flusher http.Flusher
}

func (o *pieces) batch(events []store.Event, frames *codec.Frames) (encoding, sending error) {
	p := o.scratch()
	defer o.recycle(p)
	buf := (*p)[:0]
	for i := range events {
		if buf, encoding = frames.Append(buf, &events[i]); encoding != nil {
			return encoding, nil
		}
		if len(buf) >= bounds.WatchPiece {
			if sending = o.send(buf); sending != nil {
				return nil, sending
			}
			if buf = buf[:0]; o.watcher.Ended() { // whoever reads a little at a time keeps all of events
				break
			}
		}
	}
	*p = buf
	if sending = o.send(buf); sending == nil {
		o.guard.Begin()
		o.flusher.Flush()
		o.guard.End()
	}
	return nil, sending
}

func (o *pieces) send(buf []byte) error {
	for len(buf) > 0 {
		n := min(len(buf), bounds.WatchPiece)
		o.guard.Begin()
		_, err := o.w.Write(buf[:n])
		o.guard.End()
		if err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

// endWatch tells a watcher why it ends, by an ERROR event in a 200 answer.
func (c *call) endWatch(frames *codec.Frames, err error) error {
	if errors.Is(err, store.ErrExpired) {
		err = apierrors.NewResourceExpired("too old resource version")
	}
	b, encErr := frames.Object(nil, watch.Error, codec.StatusOf(c.explain(err, "")), codec.StatusKind)
	if encErr != nil {
		return encErr
	}
	_, _ = c.w.Write(b)
	if f, ok := c.w.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

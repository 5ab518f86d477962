package store

import (
	"context"
	"errors"
	"time"

	"hyperkube/internal/trouble"
	"hyperkube/store/backend"
)

const (
	pauseMin = 10 * time.Millisecond
	pauseMax = 2 * time.Second
)

// run is the one loop that changes snapshots. first gets the outcome of the
// first load.
func (s *Store) run(ctx context.Context, first chan<- error) {
	err := s.loadAll(ctx)
	var w backend.Watch
	if err == nil {
		w, err = s.follow(ctx)
	}
	first <- err
	if err != nil {
		return
	}
	pause := pauseMin
	trouble := trouble.New(s.log, nil, "following etcd")
	for {
		if err == nil {
			trouble.Well()
			before := s.applied.Load()
			err = s.consume(ctx, w)
			s.watching.Store(nil)
			w.Stop()
			if s.applied.Load() > before {
				pause = pauseMin
			}
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrRewound) {
			s.forsake(err)
			<-ctx.Done()
			return
		}
		s.metrics.restarts.Inc()
		trouble.Failed(err, "revision", s.applied.Load())
		if wait(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, pauseMax)
		w, err = s.resume(ctx, err)
	}
}

// forsake ends all service: what the snapshots hold is no longer what etcd holds,
// and nobody may act on either before somebody has decided. The process goes on
// saying so until it is told to stop.
func (s *Store) forsake(cause error) {
	s.log.Error("nothing is served any more", "err", cause)
	close(s.rewound)
	for _, c := range s.collections() {
		c.endWatchers(ErrRewound)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) follow(ctx context.Context) (backend.Watch, error) {
	w, err := s.backend.Watch(ctx, s.prefix, prefixEnd(s.prefix), s.applied.Load()+1)
	if err == nil {
		s.watching.Store(&w)
	}
	return w, err
}

// resume continues after the last change seen, or loads anew if etcd has
// forgotten what came after it.
func (s *Store) resume(ctx context.Context, cause error) (backend.Watch, error) {
	if errors.Is(cause, backend.ErrCompacted) {
		if err := s.loadAll(ctx); err != nil {
			return nil, err
		}
	}
	return s.follow(ctx)
}

// prefixEnd is the first key after all that begin with p.
func prefixEnd(p string) string {
	b := []byte(p)
	b[len(b)-1]++
	return string(b)
}

// consume applies what the watch brings, and serves the requests of Register,
// which interrupt it.
func (s *Store) consume(ctx context.Context, w backend.Watch) error {
	for {
		next, interrupt := context.WithCancel(ctx)
		s.interrupt.Store(&interrupt)
		s.serve(ctx)
		err := s.applyAll(next, w)
		interrupted := next.Err() != nil && errors.Is(err, context.Canceled)
		interrupt()
		if !interrupted || ctx.Err() != nil {
			return err // also the watch's own end that meets an interrupt
		}
	}
}

// applyAll ends with the watch or with ctx.
func (s *Store) applyAll(ctx context.Context, w backend.Watch) error {
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return err
		}
		s.apply(batch)
	}
}

// serve does what Register asks for.
func (s *Store) serve(ctx context.Context) {
	for {
		select {
		case request := <-s.requests:
			request(ctx)
		default:
			return
		}
	}
}

// apply brings a batch into the snapshots, the rings and the watchers' queues.
func (s *Store) apply(b backend.Events) {
	touched := s.touched[:0]
	for i := range b.Events {
		ev := &b.Events[i]
		c := s.locate(ev.Key)
		if c == nil || ev.Revision <= c.loaded {
			continue
		}
		if !c.touched { // by events that bring no change too: once is enough
			c.touched = true
			touched = append(touched, c)
		}
		c.take(ev)
	}
	for _, c := range touched {
		c.touched = false
		c.publish()
	}
	s.touched = touched
	s.advance(b.Revision)
	for _, c := range touched {
		c.finish()
	}
}

// locate finds the collection with the longest prefix of an etcd key.
func (s *Store) locate(key []byte) *collection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(key) <= len(s.prefix) {
		return nil
	}
	rest := key[len(s.prefix):]
	var found *collection
	for i, depth := 0, 0; i < len(rest) && depth < s.depth; i++ {
		if rest[i] != '/' {
			continue
		}
		depth++
		if c := s.byPrefix[string(rest[:i])]; c != nil {
			found = c
		}
	}
	return found
}

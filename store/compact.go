package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"hyperkube/internal/trouble"
	"hyperkube/store/backend"
)

const (
	// compactionEvery is how much history etcd keeps at least.
	compactionEvery = 5 * time.Minute
	// compactionKey is where the API servers of an etcd, of any make, agree on
	// who compacts: whoever writes it first in a round does.
	compactionKey   = "compact_rev_key"
	compactionLimit = time.Minute
	// fullShare is how many times shorter rounds are while etcd's quota is used up.
	fullShare = 10
)

// compactor forgets etcd's history, once a round for all servers that share it.
//
//	each round: write the key if nobody has since the last look
//	  written ──▶ compact to the revision of the last look
//	  lost    ──▶ somebody else did; look where it stands now
//
// So history is kept for one round at least, also when the servers change turns. Where etcd
// refuses the key because its quota is used up, each server compacts, and has the embedded
// member made smaller; rounds are shorter then.
type compactor struct {
	seen int64 // revision of the key at the last look, 0: not there
	rev  int64 // etcd's revision then, 0: never looked
}

// round plays one round and returns the revision it compacted to, 0 for none.
func (c *compactor) round(ctx context.Context, b backend.Backend) (int64, error) {
	w := backend.Write{Key: compactionKey, Value: strconv.AppendInt(nil, c.rev, 10), Expect: c.seen}
	target := c.rev
	rev, ok, err := b.Write(ctx, w)
	switch {
	case errors.Is(err, backend.ErrQuota):
		// Nobody can take a turn. Compacting to what a server saw a round ago is right whoever does it.
		if err := c.look(ctx, b); err != nil {
			return 0, err
		}
		return c.forget(ctx, b, target, b.Relieve)
	case err != nil:
		return 0, fmt.Errorf("taking the turn: %w", err)
	case !ok:
		return 0, c.look(ctx, b)
	}
	*c = compactor{seen: rev, rev: rev}
	return c.forget(ctx, b, target, nil)
}

// look notes where etcd and the key stand.
func (c *compactor) look(ctx context.Context, b backend.Backend) error {
	p, err := b.Range(ctx, backend.Range{Start: compactionKey, End: compactionKey + "\x00"})
	if err != nil {
		return fmt.Errorf("looking whose turn it is: %w", err)
	}
	*c = compactor{rev: p.Revision}
	if len(p.KVs) > 0 {
		c.seen = p.KVs[0].Revision
	}
	return nil
}

// forget compacts to a revision, if there is one, and does then what is to follow, if anything is.
func (c *compactor) forget(ctx context.Context, b backend.Backend, target int64, then func(context.Context) error) (int64, error) {
	if target > 0 {
		if err := b.Compact(ctx, target); err != nil && !errors.Is(err, backend.ErrCompacted) {
			return 0, fmt.Errorf("compacting to %d: %w", target, err)
		}
	}
	if then != nil {
		if err := then(ctx); err != nil {
			return target, fmt.Errorf("making room: %w", err)
		}
	}
	return target, nil
}

// rest waits for the next round, or until etcd refuses a write for its quota; false when ctx ends.
func (s *Store) rest(ctx context.Context, d time.Duration, full <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-full:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// compact plays rounds until ctx ends.
func (s *Store) compact(ctx context.Context) {
	every := s.opts.Compaction
	if every == 0 {
		every = compactionEvery
	}
	if every < 0 {
		return
	}
	c, told := &compactor{}, trouble.New(s.log, nil, "compacting etcd")
	full := s.full
	for pause := every; s.rest(ctx, pause+rand.N(pause/20+1), full); {
		round, cancel := context.WithTimeout(ctx, compactionLimit)
		rev, err := c.round(round, s.backend)
		cancel()
		pause, full = every, s.full
		if errors.Is(err, backend.ErrQuota) { // a round is shorter while nothing can be written
			pause, full = every/fullShare, nil
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.metrics.uncompacted.Inc()
			told.Failed(err)
		default:
			told.Well()
			if rev > 0 {
				s.log.Debug("compacted etcd", "revision", rev)
			}
		}
	}
}

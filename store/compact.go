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
)

// compactor forgets etcd's history, once a round for all servers that share it.
//
//	each round: write the key if nobody has since the last look
//	  written ──▶ compact to the revision of the last look
//	  lost    ──▶ somebody else did; look where it stands now
//
// So history is kept for one round at least, also when the servers change turns.
type compactor struct {
	seen int64 // revision of the key at the last look, 0: not there
	rev  int64 // etcd's revision then, 0: never looked
}

// round plays one round and returns the revision it compacted to, 0 for none.
func (c *compactor) round(ctx context.Context, b backend.Backend) (int64, error) {
	w := backend.Write{Key: compactionKey, Value: strconv.AppendInt(nil, c.rev, 10), Expect: c.seen}
	rev, ok, err := b.Write(ctx, w)
	if err != nil {
		return 0, fmt.Errorf("taking the turn: %w", err)
	}
	if !ok {
		p, err := b.Range(ctx, backend.Range{Start: compactionKey, End: compactionKey + "\x00"})
		if err != nil {
			return 0, fmt.Errorf("looking whose turn it is: %w", err)
		}
		*c = compactor{rev: p.Revision}
		if len(p.KVs) > 0 {
			c.seen = p.KVs[0].Revision
		}
		return 0, nil
	}
	target := c.rev
	*c = compactor{seen: rev, rev: rev}
	if target == 0 {
		return 0, nil
	}
	if err := b.Compact(ctx, target); err != nil && !errors.Is(err, backend.ErrCompacted) {
		return 0, fmt.Errorf("compacting to %d: %w", target, err)
	}
	return target, nil
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
	for wait(ctx, every+rand.N(every/20+1)) == nil {
		round, cancel := context.WithTimeout(ctx, compactionLimit)
		rev, err := c.round(round, s.backend)
		cancel()
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

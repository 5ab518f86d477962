package backend

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// ErrRewound: etcd no longer holds what it held. It was restored from an older
// state, started empty, or another cluster answers in its place. What was read
// before and what is there now have no order, so nothing is served any more until
// somebody decides which of them counts.
var ErrRewound = errors.New("etcd went back to an older state or was replaced: give it back its data, or stop all API servers and start them again to go on with what it holds now")

// timeline notices that etcd went back. Every answer of a quorum carries a
// revision no smaller than any that was known before the question, and the id of
// one cluster; the first that does not ends the timeline for good.
type timeline struct {
	high    atomic.Int64
	cluster atomic.Uint64

	once  sync.Once
	ended chan struct{} // closed when err is set
	err   error
}

func newTimeline() *timeline { return &timeline{ended: make(chan struct{})} }

// begin is called before a question; the revision goes to check.
func (t *timeline) begin() (least int64, err error) {
	select {
	case <-t.ended:
		return 0, t.err
	default:
		return t.high.Load(), nil
	}
}

// check judges the answer to a question that began at least.
func (t *timeline) check(least int64, h *etcdserverpb.ResponseHeader) error {
	t.cluster.CompareAndSwap(0, h.ClusterId) // the first answer names it
	if known := t.cluster.Load(); h.ClusterId != known || h.Revision < least {
		t.once.Do(func() {
			t.err = fmt.Errorf("%w (revision %d of cluster %x was known, revision %d of cluster %x answers)", ErrRewound, least, known, h.Revision, h.ClusterId)
			close(t.ended)
		})
		return t.err
	}
	t.seen(h.Revision)
	return nil
}

// seen notes a revision that etcd had.
func (t *timeline) seen(rev int64) {
	for {
		old := t.high.Load()
		if rev <= old || t.high.CompareAndSwap(old, rev) {
			return
		}
	}
}

// Package backend is the narrow waist between the store and etcd.
//
//	store ──▶ Backend ──▶ Embedded: the member in this process, called directly
//	                 └──▶ Client:   any etcd, over gRPC and TLS
//
// Contract: the same for every implementation, proved by one suite.
//   - Write and Remove are one transaction each, guarded by the key's revision.
//   - An error of a write leaves it open whether the write happened; a lost
//     guard is not an error but ok == false.
//   - A watch delivers every change of the range once, in revision order, and
//     all changes of one revision together.
package backend

import (
	"context"
	"errors"
	"fmt"
)

// KV is one key at one revision.
type KV struct {
	Key, Value []byte
	Revision   int64 // of the last change
}

// Event is one change of one key. A deletion has no value.
type Event struct {
	KV
	Deleted bool
}

// Page is the answer to a Range.
type Page struct {
	KVs      []KV
	More     bool
	Revision int64 // of etcd when the answer was made
}

// Events is what a watch delivers at a time. Revision is how far the watch has
// come; without events it is an answer to Progress.
type Events struct {
	Events   []Event
	Revision int64
}

// ErrCompacted: the revision asked for is no longer in etcd's history.
var ErrCompacted = errors.New("revision was compacted")

// ErrFull: there is no room for the write. Nothing was written, or etcd's own
// quota was exceeded by it.
var ErrFull = errors.New("no room to store anything")

// ErrQuota: the quota of etcd's database is used up. It is an ErrFull; etcd refuses all but
// deletions until Relieve has found room.
var ErrQuota = fmt.Errorf("%w: the quota of etcd's database is used up", ErrFull)

// ErrTooLarge: etcd takes no request of that size. Nothing was written.
var ErrTooLarge = errors.New("larger than etcd takes")

// ErrDown: no etcd member answers now. Nothing was written.
var ErrDown = errors.New("etcd does not answer now, it is tried again")

// ErrUnsure: etcd was asked to write and did not say whether it did.
var ErrUnsure = errors.New("it is not known whether etcd wrote this: read it again")

// Backend is the part of etcd that the store needs.
type Backend interface {
	// Write stores value if key's revision is still expect (0: key is absent).
	// rev is the new revision, or etcd's revision when the guard was lost.
	Write(ctx context.Context, w Write) (rev int64, ok bool, err error)
	// Remove deletes key if its revision is still expect.
	Remove(ctx context.Context, key string, expect int64) (rev int64, ok bool, err error)
	// Range reads [start, end) at revision rev (0: now, linearizable), at most limit keys (0: all).
	Range(ctx context.Context, r Range) (Page, error)
	// Revision is etcd's revision now, as agreed by its members.
	Revision(ctx context.Context) (int64, error)
	// Current is Revision without a round trip, where the backend can vouch for it.
	// Exclusive backends return 0: whoever wrote has waited for the store itself.
	// It does not block.
	Current() (rev int64, ok bool)
	// Watch follows [start, end) from revision from.
	Watch(ctx context.Context, start, end string, from int64) (Watch, error)
	// Grant makes a lease of ttl seconds.
	Grant(ctx context.Context, ttl int64) (lease int64, err error)
	// Compact forgets the history before rev.
	Compact(ctx context.Context, rev int64) error
	// Relieve is called after a compaction while etcd refuses writes with ErrQuota. It gives what is free back and
	// has etcd take writes again once there is room; nil when it does, or did all the time. Its error says what is
	// to be done by hand.
	Relieve(ctx context.Context) error
	Close() error
}

// Write is the argument of Backend.Write.
type Write struct {
	Key    string
	Value  []byte
	Expect int64
	Lease  int64
}

// Range is the argument of Backend.Range.
type Range struct {
	Start, End string
	Revision   int64
	Limit      int64
}

// Watch is a running watch. One goroutine calls Next.
type Watch interface {
	// Next blocks for at least one batch and ends with ErrCompacted, another
	// error of the connection, or ctx.Err().
	Next(ctx context.Context) (Events, error)
	// Progress asks for a batch without events once the watch has caught up.
	// It may be called from any goroutine.
	Progress(ctx context.Context) error
	Stop()
}

// Package store is the versioned object store of Hyperkube: etcd below, an
// ordered immutable snapshot of every resource above it, and watches between.
//
//	verbs ──Get/List/Watch──▶ Collection ──▶ snapshot (btree) + ring of events
//	  │                           ▲
//	  └──Create/Update/Delete──▶ one etcd transaction ──▶ etcd watch ─┘
//
// Contract:
//   - Reads are answered from the snapshot and never from etcd, yet they are
//     consistent: a read with Latest never returns older data than etcd held
//     when the read began. A writer's own writes are visible to it at once,
//     because a write returns only after the snapshot has it.
//   - Entries and the objects in them are shared by every reader and are
//     immutable. Whoever wants to change one makes a DeepCopy first. Test
//     builds detect mutation.
//   - An entry is encoded at most once for each Format.
//   - What is stored and cannot be read is never passed off as absent: Get and
//     writes fail with ErrUnreadable, lists go on without it and count it,
//     Discard removes it.
//   - A watcher that does not keep up is ended with ErrSlow; it never slows others.
//   - Only this package and its children import etcd.
package store

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"hyperkube/store/backend"
)

// Object is what a collection holds: a published API type, TypeMeta left empty.
type Object interface {
	runtime.Object
	metav1.Object
}

// Format is a slot in which an entry keeps one wire encoding of its object.
// The meaning of a slot belongs to the caller (apiserver/codec); the store only
// promises that the same slot is filled once and shared.
type Format uint8

// Formats is how many slots an entry has.
const Formats = 8

// Key names an object inside a collection. Namespace is empty for cluster scope.
type Key struct{ Namespace, Name string }

// Entry is one revision of one object. Immutable, but for the lazily filled
// encodings.
type Entry struct {
	Key      Key
	Revision int64  // etcd mod revision, equal to Object's resourceVersion
	Object   Object // read-only
	encoded  [Formats]atomic.Pointer[[]byte]
	size     int    // of the stored bytes, before sealing
	sum      uint64 // hash of the stored bytes: a first look for writes that change nothing
	shape    uint64 // hash of what the object encodes to, 0: sum. For DetectMutation
}

// Encoded returns the entry's bytes in slot f, calling encode at most a few
// times in a race and normally once. The bytes are shared and read-only.
func (e *Entry) Encoded(f Format, encode func(Object) ([]byte, error)) ([]byte, error) {
	if p := e.encoded[f].Load(); p != nil {
		return *p, nil
	}
	b, err := encode(e.Object)
	if err != nil {
		return nil, err
	}
	if !e.encoded[f].CompareAndSwap(nil, &b) {
		if p := e.encoded[f].Load(); p != nil {
			return *p, nil
		}
	}
	return b, nil
}

// Holds reports whether slot f is filled.
func (e *Entry) Holds(f Format) bool { return int(f) < len(e.encoded) && e.encoded[f].Load() != nil }

// forget gives the encodings back. Who still wants one makes it again.
func (e *Entry) forget() {
	for i := range e.encoded {
		e.encoded[i].Store(nil)
	}
}

// NewEntry wraps an object that is not in the store (dry run results).
func NewEntry(obj Object, rev int64) *Entry {
	return &Entry{Key: Key{obj.GetNamespace(), obj.GetName()}, Revision: rev, Object: obj}
}

// Resource is what the store must know of a kind to hold its objects.
type Resource struct {
	Group, Name string                  // "", "pods": errors, metrics, encryption config
	Prefix      string                  // below /registry, no slashes at the ends: "pods", "services/specs"
	Namespaced  bool                    // keys are <prefix>/<ns>/<name> or <prefix>/<name>
	GVK         schema.GroupVersionKind // storage version, written into the envelope
	New         func() Object
	// Default fills in what a stored object lacks: one that was written before
	// a field existed, or by others. Called once for each revision that is read.
	Default func(Object)
	// Indexes are the selectors daemons use (spec.nodeName): a watch that names
	// one costs nothing for objects with another value.
	Indexes []Index
	// TTLSeconds > 0 lets etcd expire the object that long after its last write.
	TTLSeconds int64
	// Encrypted values are sealed before they reach etcd.
	Encrypted bool
}

// Index is a value computed from an object by which watches and lists are narrowed.
type Index struct {
	Name  string // the field selector's path, e.g. "spec.nodeName"
	Value func(Object) string
}

// Freshness says how new a read must be.
type Freshness struct {
	Any   bool  // resourceVersion=0: whatever the snapshot has now
	Min   int64 // resourceVersion=N: at least N (ErrFuture when N does not come in time)
	Exact int64 // resourceVersionMatch=Exact: the state at N (ErrExpired when it is gone)
} // the zero value is Latest: as new as etcd when the call began

// Filter narrows lists and watches. The zero value takes everything.
type Filter struct {
	Namespace  string
	Name       string // metadata.name selector
	IndexName  string // one of Resource.Indexes
	IndexValue string
	Match      func(Object) bool // label and other field selectors; nil takes all
}

// ListOptions asks for one page or the whole.
type ListOptions struct {
	Filter
	Freshness
	Limit    int64  // 0: no paging
	Continue string // token of the page before
}

// List is the answer: an immutable view that may be ranged over several times.
type List struct {
	Revision  int64
	Entries   iter.Seq[*Entry]
	Continue  string // empty on the last page
	Remaining *int64 // only when it is known and the filter takes everything
	// Unreadable counts objects of the collection, in all namespaces, that are
	// stored but cannot be read: Entries goes on without them.
	Unreadable int
}

// WatchOptions asks for changes.
type WatchOptions struct {
	Filter
	// From > 0 starts after that revision (ErrExpired when the ring has lost it).
	From int64
	// Initial, with From == 0, first delivers the present state as ADDED events
	// ("any" state; with Latest the state is as new as etcd when the call began).
	// With Min it has that revision at least (ErrFuture when it does not come in time).
	Initial bool
	Latest  bool
	Min     int64
	// EndOfInitial delivers a bookmark marked InitialEventsEnd after the present state.
	EndOfInitial bool
	// Account shares out the turns to deliver: see turns. Empty: no turns are taken.
	Account string
	// Bookmarks delivers the revision now and then, about once a minute and before a planned end.
	Bookmarks bool
}

// Event is one change as this watcher's filter sees it: an object that leaves
// the filter is DELETED, one that enters is ADDED. The entry of a DELETED event
// holds the last matching state with the revision of the deletion.
// A BOOKMARK has no entry.
type Event struct {
	Type             watch.EventType
	Entry            *Entry
	Revision         int64
	InitialEventsEnd bool
}

// Watcher delivers events in revision order, none skipped, none twice.
type Watcher interface {
	// Next blocks for at least one event and returns all that are waiting. The
	// slice is valid until the next call. It fails with ctx.Err(), ErrSlow,
	// ErrExpired or ErrClosed.
	Next(ctx context.Context) ([]Event, error)
	// Ended says that Next will fail: what it returned last need not be delivered.
	Ended() bool
	Stop()
}

// Errors of this package; compare with errors.Is. The API layer maps them to statuses.
var (
	ErrNotFound = errors.New("object not found")
	ErrExists   = errors.New("object already exists")
	ErrConflict = errors.New("object was changed meanwhile") // etcd transaction lost too often
	ErrExpired  = errors.New("revision is too old")          // 410 Gone / Expired
	ErrFuture   = errors.New("revision is not there yet")    // 504 "Too large resource version"
	ErrSlow     = errors.New("watcher did not keep up")
	ErrClosed   = backend.ErrClosed
	ErrBadToken = errors.New("continue token is not valid") // 400
	// ErrFull refuses a write because there is no room for it (507); reads go on.
	ErrFull = backend.ErrFull
	// ErrTooLarge refuses an object that etcd does not take (413).
	ErrTooLarge = backend.ErrTooLarge
	// ErrDown: etcd does not answer; try again soon (503).
	ErrDown = backend.ErrDown
	// ErrUnsure: etcd did not say whether it wrote (504).
	ErrUnsure = backend.ErrUnsure
	// ErrRewound: etcd holds less than it did, or is another one; nothing is served
	// until the process is started again (503).
	ErrRewound = backend.ErrRewound
)

// Collection is the store's face towards verbs, kinds, authorizers and admission.
type Collection interface {
	Resource() *Resource
	Get(ctx context.Context, key Key, f Freshness) (*Entry, error)
	List(ctx context.Context, o ListOptions) (*List, error)
	Watch(ctx context.Context, o WatchOptions) (Watcher, error)
	// Create stores obj, which the store owns from now on, and returns its entry.
	Create(ctx context.Context, obj Object) (*Entry, error)
	// Update calls change with the present entry and stores what it returns, in
	// one transaction; when somebody else wrote meanwhile, change is called
	// again with the newer entry. Returning the entry's own object, or one that
	// encodes to the same bytes, writes nothing and returns the present entry.
	Update(ctx context.Context, key Key, change func(present *Entry) (Object, error)) (*Entry, error)
	// Delete removes the object if allow (may be nil) agrees to the present
	// entry, and returns the last state with the revision of the deletion.
	Delete(ctx context.Context, key Key, allow func(present *Entry) error) (*Entry, error)
}

// Reader finds collections; *Store is one. Group is "" for core.
type Reader interface {
	Collection(group, resource string) (Collection, bool)
}

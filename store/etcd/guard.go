package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hyperkube/store/backend"
)

// guard watches the file system that the data lie on, and stops writes while
// etcd still has what it needs to go on: an etcd that cannot write ends for
// good, and takes the reads with it.
//
//	free ≥ low                    plenty   everything is written
//	low > free ≥ critical         short    only deletions are
//	critical > free               none     nothing is; the reserve file is given up
//
// It looks when something is written, but not more often than lookEvery, and at
// each tick of the member's keeper.
type guard struct {
	dir     string
	spare   bool // keep a reserve file, and room in the database file
	log     *slog.Logger
	statfs  func(string) (room, error)
	state   atomic.Int32 // level
	looked  atomic.Int64 // nanoseconds since began
	began   time.Time
	written atomic.Int64  // bytes since the database file was given room
	kick    chan struct{} // asks for a tick: much was written

	mu   sync.Mutex
	last room
}

// level is how much may be written.
type level int32

const (
	plenty level = iota
	short
	none
)

func (l level) String() string { return [...]string{"plenty", "short", "none"}[l] }

// room is what is free on a file system.
type room struct {
	free, total uint64 // bytes
	inodes      uint64 // math.MaxUint64 where they are not counted
}

// limits are derived from the size of the file system.
type limits struct {
	low, critical uint64
	reserve       uint64 // of the reserve file
}

const (
	// logSegment is the size of the files of etcd's log: it makes the next one
	// ahead of time, and fails when it cannot.
	logSegment = 64 << 20
	minLow     = logSegment + 32<<20
	maxLow     = 512 << 20
	maxReserve = 32 << 20
	// ahead is what the database file is given beyond its end: what etcd has
	// taken in and not yet written when the disk turns out to be full, several
	// times over. It is given anew after provideEvery bytes.
	ahead        = 32 << 20
	provideEvery = ahead / 16
	minInodes    = 64

	lookEvery  = 50 * time.Millisecond
	calmTick   = 5 * time.Second
	urgentTick = time.Second
)

func limitsOf(total uint64) limits {
	low := min(max(total/50, minLow), maxLow)
	return limits{low: low, critical: low / 4, reserve: min(total/32, maxReserve)}
}

// next is the level at r after before. What was refused is taken again only
// when there is clearly more room, so that the answer does not flutter.
func (l limits) next(before level, r room) level {
	slack := func(at level) uint64 {
		if before >= at {
			return l.low / 8
		}
		return 0
	}
	switch {
	case r.free < l.critical+slack(none) || r.inodes < minInodes:
		return none
	case r.free < l.low+slack(short):
		return short
	}
	return plenty
}

// FullError says that the disk has no room for writes.
type FullError struct {
	Dir        string
	Free, Need uint64
	Inodes     bool // it has no more files, whatever the bytes
}

// Error names the disk and the next step.
func (e *FullError) Error() string {
	left := fmt.Sprintf("has %d MiB left of the %d MiB that writes need", e.Free>>20, e.Need>>20)
	if e.Inodes {
		left = "has no room for more files (inodes)"
	}
	return fmt.Sprintf("the disk with %s %s: nothing is stored until there is more; delete what is not needed from it (logs, images, old files), writes then go on by themselves", e.Dir, left)
}

// Is makes the error a backend.ErrFull.
func (e *FullError) Is(target error) bool { return target == backend.ErrFull }

func newGuard(dir string, spare bool, log *slog.Logger) *guard {
	g := &guard{dir: dir, spare: spare, log: log, statfs: statfs, began: time.Now(), kick: make(chan struct{}, 1)}
	g.written.Store(provideEvery)
	g.looked.Store(math.MinInt64 / 2)
	return g
}

// admit says whether a write of so many bytes, or a removal, may go to etcd.
func (g *guard) admit(size int, removal bool) error {
	now := int64(time.Since(g.began))
	if seen := g.looked.Load(); now-seen >= int64(lookEvery) && g.looked.CompareAndSwap(seen, now) {
		g.look()
	}
	switch l := level(g.state.Load()); {
	case l == plenty:
		g.count(size)
		return nil
	case l == short && removal:
		return nil
	}
	return g.full()
}

// count asks for more room in the database file after enough was written.
func (g *guard) count(size int) {
	if g.written.Add(int64(size)) < provideEvery {
		return
	}
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

func (g *guard) full() *FullError {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &FullError{Dir: g.dir, Free: g.last.free, Need: limitsOf(g.last.total).low, Inodes: g.last.inodes < minInodes}
}

// look asks the file system and settles the level. A file system that does not
// answer changes nothing: etcd will meet it.
func (g *guard) look() {
	r, err := g.statfs(g.dir)
	if err != nil {
		g.log.Debug("looking at the disk with the data", "err", err)
		return
	}
	l := limitsOf(r.total)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = r
	before := level(g.state.Load())
	now := l.next(before, r)
	if now == none && g.spare && dropReserve(g.reserve()) {
		g.log.Warn("gave up the reserve file to leave etcd some room", "file", g.reserve())
	}
	if now == before {
		return
	}
	g.state.Store(int32(now))
	args := []any{"dir", g.dir, "free", r.free, "need", l.low, "room", now}
	if now == plenty {
		g.log.Info("the disk with the data has room again, writes go on", args...)
	} else {
		g.log.Error("the disk with the data is full, writes are refused", args...)
	}
}

// reserve lies on the file system of the data, which may begin at dir.
func (g *guard) reserve() string { return filepath.Join(g.dir, "reserve") }

// tick looks, and keeps the reserve file and the room in the database file.
// It returns how long to wait for the next.
func (g *guard) tick() time.Duration {
	g.look()
	if level(g.state.Load()) != plenty {
		return urgentTick
	}
	if g.spare {
		g.provide()
	}
	return calmTick
}

// provide has the file system set aside what etcd writes next, so that it
// succeeds even when somebody else fills the disk in between.
func (g *guard) provide() {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := limitsOf(g.last.total)
	if g.last.free >= l.low+l.low/4+l.reserve {
		if err := keepReserve(g.reserve(), int64(l.reserve)); err != nil && !errors.Is(err, errNoReserve) {
			g.log.Debug("keeping a reserve file", "err", err)
		}
	}
	if g.written.Swap(0) > 0 {
		if err := extend(filepath.Join(g.dir, "member", "snap", "db"), ahead); err != nil {
			g.log.Debug("giving the database file room", "err", err)
		}
	}
}

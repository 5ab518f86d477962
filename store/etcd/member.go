package etcd

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// member is one run of etcd in this process.
//
//	starting ──ready──▶ running ──stop──▶ stopped: every goroutine and lock is gone
//	    │                  │                 ▲
//	    └─────failed◀──────┘ ───closes in time┘
//	            └──does not: stuck. Only a new process gets at the data again.
type member struct {
	etcd *embed.Etcd // set before running

	life   context.Context // ends when etcd said that it cannot go on
	end    context.CancelFunc
	failed <-chan struct{} // the same
	once   sync.Once
	cause  error // set before life ends

	// segmentLost: etcd could not prepare the next file of its log. It notices
	// only when the present one is full, and then fails.
	segmentLost atomic.Bool
}

func newMember() *member {
	m := &member{}
	m.life, m.end = context.WithCancel(context.Background())
	m.failed = m.life.Done()
	return m
}

// fail marks the member as unusable. The first cause counts.
func (m *member) fail(cause error) {
	m.once.Do(func() {
		m.cause = cause
		m.end()
	})
}

// heard is told of the errors that etcd logs.
func (m *member) heard(message string, _ []zapcore.Field) {
	if strings.Contains(message, "failed to preallocate space when creating a new WAL") {
		m.segmentLost.Store(true)
	}
}

// end is what happens after etcd has logged something fatal or a panic. The
// process goes on. The goroutine does not: it would work on with what it just
// found to be impossible. It is kept waiting rather than unwound, since it may
// hold locks whose release would let others see a half-done change.
type end struct{ m *member }

// OnWrite implements zapcore.CheckWriteHook.
func (h end) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	h.m.fail(reason(firstLine(ce.Message), fields))
	if startsUp() {
		runtime.Goexit() // nobody else has the member yet
	}
	select {}
}

// startsUp says that the calling goroutine is in embed.StartEtcd.
func startsUp() bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "/embed.StartEtcd") {
			return true
		}
		if !more {
			return false
		}
	}
}

// reason makes one line of a log entry.
func reason(message string, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		if f.Type == zapcore.ErrorType {
			if err, ok := f.Interface.(error); ok {
				return fmt.Errorf("%s: %w", message, err)
			}
		}
		f.AddTo(enc)
	}
	return errors.New(message)
}

// UnusableError: etcd found data that it cannot work with.
type UnusableError struct {
	Dir   string
	Cause error
}

// refusals are what a machine says that has not what is asked for: nothing about the data.
var refusals = []error{
	unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.EROFS, unix.ENOSPC, unix.EDQUOT, unix.EACCES, unix.EPERM, unix.EFBIG,
}

// Error names the cause and the next step. Nobody is told to give up data that may be whole.
func (e *UnusableError) Error() string {
	if slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(e.Cause, r) }) {
		return fmt.Sprintf("data directory %s cannot be used now (%v): the data may well be whole; see to what this machine lacks (memory, open files, room, a disk to write to), then start again", e.Dir, e.Cause)
	}
	return fmt.Sprintf("data directory %s cannot be used (%v): restore it from a snapshot, or give its data up with reset; "+
		"one of several members is removed from them, added anew and started on an empty directory", e.Dir, e.Cause)
}

// Unwrap is the cause.
func (e *UnusableError) Unwrap() error { return e.Cause }

// startMember runs etcd and returns when it answers. It gives up when ctx does,
// and leaves nothing running if it can be helped.
func startMember(ctx context.Context, m *member, cfg *embed.Config, sole bool) error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("ended while starting")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
				m.fail(err)
			}
			result <- err
		}()
		m.etcd, err = embed.StartEtcd(cfg)
	}()
	var err error
	select {
	case err = <-result:
		select {
		case <-m.failed: // it says more, and what had begun cannot be undone
			return &UnusableError{Dir: cfg.Dir, Cause: m.cause}
		default:
		}
	case <-m.failed:
		// A goroutine of etcd's own found it; StartEtcd may never return.
		return &UnusableError{Dir: cfg.Dir, Cause: m.cause}
	case <-ctx.Done():
		go func() {
			if <-result == nil {
				m.etcd.Close()
			}
		}()
		return fmt.Errorf("member does not start: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", cfg.Dir, err)
	}
	if err := m.ready(ctx, sole); err != nil {
		if !m.close(closeLimit) {
			return &UnusableError{Dir: cfg.Dir, Cause: err}
		}
		return err
	}
	return nil
}

// closeLimit is how long a member gets to stop. One that failed often cannot.
const closeLimit = 5 * time.Second

// close stops the member; false when it did not stop in time.
func (m *member) close(limit time.Duration) bool {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		m.etcd.Close()
	}()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-closed:
		return true
	case <-t.C:
		return false
	}
}

// watch turns an end that etcd reports in other ways into a failure.
func (m *member) watch(stopped <-chan struct{}) {
	select {
	case err := <-m.etcd.Err():
		if err == nil {
			err = errors.New("a listener ended")
		}
		m.fail(err)
	case <-m.etcd.Server.StopNotify():
		m.fail(errors.New("member stopped by itself"))
	case <-m.failed:
	case <-stopped:
	}
}

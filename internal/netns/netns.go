// Package netns opens network namespaces and runs functions in them.
//
// A function runs in a namespace on an OS thread of its own; goroutines that it
// starts do not. Sockets opened in it stay in the namespace.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const current = "/proc/thread-self/ns/net"

// ErrNoNamespace says that a file names no namespace (any more).
var ErrNoNamespace = errors.New("not a network namespace")

// NS is an open network namespace.
type NS struct{ file *os.File }

// Open opens the namespace that a path names: /proc/<pid>/ns/net or a bind mount.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening network namespace: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("checking %s: %w", path, err), f.Close())
	}
	if st.Type != unix.NSFS_MAGIC && st.Type != unix.PROC_SUPER_MAGIC {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrNoNamespace), f.Close())
	}
	return &NS{f}, nil
}

// New makes an empty namespace. It is gone once closed and out of use.
func New() (*NS, error) {
	type result struct {
		ns  *NS
		err error
	}
	out := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			out <- result{nil, fmt.Errorf("making network namespace: %w", err)}
			return
		}
		ns, err := Open(current)
		out <- result{ns, err}
	}()
	r := <-out
	return r.ns, r.err
}

// Close lets go of the namespace.
func (n *NS) Close() error { return n.file.Close() }

// Fd is the namespace's file descriptor, good until Close.
func (n *NS) Fd() int { return int(n.file.Fd()) }

// Path names the namespace for this process, good until Close.
func (n *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.Fd()) }

// Do runs f in the namespace and waits for it. A panic of f is one of the caller's, so
// that who contains the caller contains f.
func (n *NS) Do(f func() error) error {
	var panicked *Panic
	out := make(chan error)
	go func() {
		err := errors.New("function did not return")
		defer func() {
			if v := recover(); v != nil {
				panicked = &Panic{v, debug.Stack()}
			}
			out <- err // also when f ends its goroutine
		}()
		err = n.do(f)
	}()
	err := <-out
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// Panic is what Do panics with: what f did, and where.
type Panic struct {
	Value any
	Stack []byte
}

// String shows both: the caller's own stack does not tell where f was.
func (p *Panic) String() string { return fmt.Sprintf("%v\n%s", p.Value, p.Stack) }

// Error makes it an error, as the values of runtime panics are.
func (p *Panic) Error() string { return p.String() }

func (n *NS) do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(current)
	if err != nil {
		return fmt.Errorf("opening own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace: %w", err)
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread() // otherwise the thread ends with the goroutine
	}
	return err
}

// Package ipam hands out the addresses of a node's pod ranges and remembers them in
// a directory.
//
//	<dir>/lock              taken (flock) for every operation
//	<dir>/ips/<address>     a symbolic link whose target is "<container>/<interface>"
//	<dir>/last/<subnet>     a symbolic link whose target is the address given last
//
// A symbolic link is made whole or not at all, so a process that is killed leaves no
// half-written state and nothing needs to be synced: after a crash of the machine the
// pods are gone with their addresses, and the node's agent frees those. Addresses are given in turn
// so that a freed one is not used again soon. The first address of a subnet is the
// gateway and is never given.
package ipam

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hyperkube/internal/regular"
)

// ErrFull says that a subnet has no free address.
var ErrFull = errors.New("no free address")

const lockTimeout = 10 * time.Second

// Owner is who holds an address.
type Owner struct{ Container, Interface string }

func (o Owner) target() string { return o.Container + "/" + o.Interface }

func parseOwner(target string) Owner {
	c, i, _ := strings.Cut(target, "/")
	return Owner{c, i}
}

// Pool is the state directory, locked. It must be closed.
type Pool struct {
	dir  string
	lock *os.File
}

// Open makes the directory if need be and waits for its lock.
func Open(dir string) (*Pool, error) {
	for _, d := range []string{"ips", "last"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("making address state: %w", err)
		}
	}
	f, err := regular.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening address lock: %w", err)
	}
	if err := inTurn(f); err != nil {
		return nil, err
	}
	return &Pool{dir: dir, lock: f}, nil
}

// Lock waits for the lock of a file. It closes f if it fails.
func Lock(f *os.File) error {
	return wait(f, func() error { return again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }) })
}

// inTurn waits for the lock of a file that may be written, and is not starved by who
// takes it again and again: the kernel wakes those who wait, but who is awake comes
// before them. So everybody goes through a turnstile, a lock of the file's first byte,
// in which the next one stands until it has the lock.
func inTurn(f *os.File) error {
	turnstile := func(kind int16, cmd int) error {
		return again(func() error { return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: kind, Len: 1}) })
	}
	return wait(f, func() error {
		if err := turnstile(unix.F_WRLCK, unix.F_OFD_SETLKW); err != nil {
			return err
		}
		if err := again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }); err != nil {
			return err
		}
		return turnstile(unix.F_UNLCK, unix.F_OFD_SETLK)
	})
}

// again calls f until no signal came in between.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// wait gives lock its time. It closes f if it fails.
func wait(f *os.File, lock func() error) error {
	got := make(chan error, 1)
	go func() { got <- lock() }()
	timer := time.NewTimer(lockTimeout)
	defer timer.Stop()
	select {
	case err := <-got:
		if err != nil {
			return errors.Join(fmt.Errorf("locking address state: %w", err), f.Close())
		}
		return nil
	case <-timer.C:
		// The call cannot be called off: what it may still get is given back.
		go func() {
			<-got
			f.Close()
		}()
		return fmt.Errorf("locking address state: held by others for %s", lockTimeout)
	}
}

// Close lets the lock go.
func (p *Pool) Close() error { return p.lock.Close() }

func (p *Pool) ip(a netip.Addr) string { return filepath.Join(p.dir, "ips", a.String()) }

func (p *Pool) last(n netip.Prefix) string {
	return filepath.Join(p.dir, "last", strings.ReplaceAll(n.Masked().String(), "/", "_"))
}

// Gateway is the first address of a subnet.
func Gateway(n netip.Prefix) netip.Addr { return n.Masked().Addr().Next() }

// usable reports whether a pod may have the address.
func usable(n netip.Prefix, a netip.Addr) bool {
	if !n.Contains(a) || a == n.Masked().Addr() || a == Gateway(n) {
		return false
	}
	return a.Is6() || n.Bits() > 30 || n.Contains(a.Next()) // not the broadcast address
}

// Allocate gives owner an address of the subnet.
func (p *Pool) Allocate(n netip.Prefix, owner Owner) (netip.Addr, error) {
	start := Gateway(n)
	if t, err := os.Readlink(p.last(n)); err == nil {
		if a, err := netip.ParseAddr(t); err == nil && n.Contains(a) {
			start = a
		}
	}
	for a, wrapped := start.Next(), false; ; a = a.Next() {
		if !n.Contains(a) {
			if wrapped {
				return netip.Addr{}, fmt.Errorf("%w in %s", ErrFull, n)
			}
			a, wrapped = n.Masked().Addr(), true
		}
		if usable(n, a) {
			err := os.Symlink(owner.target(), p.ip(a))
			if err == nil {
				return a, p.remember(n, a)
			}
			if !errors.Is(err, fs.ErrExist) {
				return netip.Addr{}, fmt.Errorf("taking address %s: %w", a, err)
			}
		}
		if wrapped && a == start {
			return netip.Addr{}, fmt.Errorf("%w in %s", ErrFull, n)
		}
	}
}

func (p *Pool) remember(n netip.Prefix, a netip.Addr) error {
	tmp := p.last(n) + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remembering address: %w", err)
	}
	if err := os.Symlink(a.String(), tmp); err != nil {
		return fmt.Errorf("remembering address: %w", err)
	}
	if err := os.Rename(tmp, p.last(n)); err != nil {
		return fmt.Errorf("remembering address: %w", err)
	}
	return nil
}

// Peek is Held without the lock: what is taken or freed at this moment may be missed.
func Peek(dir string) (map[netip.Addr]Owner, error) { return (&Pool{dir: dir}).Held() }

// Held returns every address that is taken and by whom.
func (p *Pool) Held() (map[netip.Addr]Owner, error) {
	entries, err := os.ReadDir(filepath.Join(p.dir, "ips"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	held := make(map[netip.Addr]Owner, len(entries))
	for _, e := range entries {
		a, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue // not ours
		}
		target, err := os.Readlink(p.ip(a))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("reading owner of %s: %w", a, err)
		}
		held[a] = parseOwner(target)
	}
	return held, nil
}

// Of returns the addresses of one owner.
func (p *Pool) Of(owner Owner) ([]netip.Addr, error) {
	held, err := p.Held()
	return OwnedBy(held, owner), err
}

// OwnedBy are those of the held addresses that one owner has.
func OwnedBy(held map[netip.Addr]Owner, owner Owner) []netip.Addr {
	var out []netip.Addr
	for a, o := range held {
		if o == owner {
			out = append(out, a)
		}
	}
	return out
}

// Release frees addresses; it is no error if they are free.
func (p *Pool) Release(addrs ...netip.Addr) error {
	var errs error
	for _, a := range addrs {
		if err := os.Remove(p.ip(a)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, fmt.Errorf("freeing address %s: %w", a, err))
		}
	}
	return errs
}

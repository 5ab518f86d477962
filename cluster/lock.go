package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hyperkube/internal/regular"
)

// ErrRunning says that another process runs this cluster.
var ErrRunning = errors.New("the cluster of this data directory is running already")

const (
	lockPoll = 10 * time.Millisecond
	// nameTimeout is how long a holder of the lock may take to say who it is.
	nameTimeout = 5 * time.Second
	// patientLooks is after how many looks the files that name processes count as lost, and
	// all processes are looked at; scanEvery, how many looks later again.
	patientLooks = 10
	scanEvery    = 100
)

// lock keeps a second process out of the data directory. It is held until the file is
// closed by all that have it: the process that starts a cluster hands it to the one that
// runs it, so that there is no moment in between. The file says whose it is.
//
//	up ──takes──▶ lock (pid of up) ──hands over──▶ keeper (its pid) ──▶ the cluster's process
//	down, reset ──read the pid, end it, wait until the lock is free
func lock(path string) (*os.File, error) {
	for {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && len(owners(path)) > 0 {
			return nil, ErrRunning
		}
		f, err := regular.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("locking the data directory: %w", err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, ErrRunning
			}
			return nil, fmt.Errorf("locking the data directory: %w", err)
		}
		// A reset may have removed the file between the two calls.
		if sameFile(f, path) {
			return f, nameHolder(f, os.Getpid())
		}
		f.Close()
	}
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// nameHolder writes down who is to be ended when the cluster is to stop.
func nameHolder(f *os.File, pid int) error {
	text := strconv.Itoa(pid) + "\n"
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("writing the lock's holder: %w", err)
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("writing the lock's holder: %w", err)
	}
	return nil
}

// inherited is the lock that the starter of this process handed over.
func inherited(fd int, path string) (*os.File, error) {
	// What this process starts must not hold it.
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), path)
	if f == nil || !sameFile(f, path) {
		return nil, fmt.Errorf("file %d is not the lock %s: start the cluster with `hyperkube up`", fd, path)
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrRunning
	}
	return f, nil
}

// held reports whether a process holds the lock. Nothing is made.
func held(path string) (bool, error) {
	// For reading: a cluster whose disk has become read-only is to be seen and ended, too.
	f, err := regular.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return len(owners(path)) > 0, nil // it may have been removed under who holds it
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at the lock: %w", err)
	}
	defer f.Close()
	// A shared lock does not keep another look from seeing the same.
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at the lock: %w", err)
	}
	return false, nil
}

// holder is the process to end when the cluster is to stop, 0 when none holds the lock.
func holder(ctx context.Context, p Paths) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	for look := patientLooks; ; {
		busy, err := held(p.Lock)
		if err != nil || !busy {
			return 0, err
		}
		for _, file := range []string{p.Lock, p.PID} {
			if pid := named(file, p.Lock); pid != 0 {
				return pid, nil
			}
		}
		if look--; look < 0 { // they are lost
			look = scanEvery
			if pid := toEnd(owners(p.Lock)); pid != 0 {
				return pid, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%s is held by a process that did not say which it is: end what has the file open (fuser %s)", p.Lock, p.Lock)
		case <-time.After(lockPoll):
		}
	}
}

// named is the process that a file names, 0 when there is none. Only one that holds the
// lock is meant: numbers are given again.
func named(file, lock string) int {
	b, err := regular.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0
	}
	want, err := os.Stat(lock)
	if err != nil || !holds(pid, lock, want) {
		return 0
	}
	return pid
}

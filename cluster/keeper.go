package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"hyperkube/runtime/carried"
)

// unkept is what a person is told of a cluster without a keeper.
const unkept = "nothing starts the cluster's process again when it dies: its keeper has ended; `hyperkube down` and `hyperkube up` give it one (containers go on meanwhile)"

// keeper is this process's view of the one that keeps it. When that dies, a new one is
// started, which adopts this process.
//
//	up ── keeper ── the cluster's process        up ── (killed)   the cluster's process ── new keeper
type keeper struct {
	o    Options
	p    Paths
	lock *os.File
	log  *slog.Logger

	mu    sync.Mutex
	child *exec.Cmd // the keeper that this process has started
}

// watch sees to it that there is a keeper until ctx ends.
func (k *keeper) watch(ctx context.Context) error {
	if err := k.outlive(ctx, keeping(k.p), os.Getppid()); err != nil || ctx.Err() != nil {
		return err
	}
	cmd, err := k.adopt()
	if err != nil {
		return fmt.Errorf("the keeper has ended, and another cannot be started: %w", err)
	}
	k.log.Warn("the keeper has ended: another one keeps this process", "pid", cmd.Process.Pid)
	if err := k.outlive(ctx, cmd.Process.Pid, cmd.Process.Pid); err != nil || ctx.Err() != nil {
		return err
	}
	k.mu.Lock()
	k.child = nil
	k.mu.Unlock()
	return fmt.Errorf("the keeper has ended: %w", errors.Join(cmd.Wait(), errUnkept))
}

var errUnkept = errors.New("this process is kept by none")

// outlive waits for the end of the keeper pid, or of ctx. One that is not the parent is gone.
func (k *keeper) outlive(ctx context.Context, pid, parent int) error {
	if pid == 0 || pid != parent {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watching the keeper: %w", err)
	}
	f := os.NewFile(uintptr(fd), "keeper")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("watching the keeper: %w", err)
	}
	err = conn.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("watching the keeper: %w", err)
	}
	return nil
}

// adopt starts a keeper for this process and notes it as the one to end.
func (k *keeper) adopt() (*exec.Cmd, error) {
	keep, err := carried.Place(k.p.Libexec, carried.Keep)
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("naming this process: %w", err)
	}
	self := os.NewFile(uintptr(fd), "this process")
	defer self.Close()
	cmd, err := keeperOf(k.p, keep, k.lock, append([]string{"--adopt", k.p.Log, "hyperkube"}, os.Args[1:]...))
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, self)
	err = cmd.Start()
	err = errors.Join(err, cmd.Stderr.(*os.File).Close(), cmd.ExtraFiles[1].Close())
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.child = cmd
	k.mu.Unlock()
	return cmd, nameHolder(k.lock, cmd.Process.Pid)
}

// dismiss tells a keeper that adopted this process that its end is meant: it cannot see
// with what a process ended that is not its child.
func (k *keeper) dismiss() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.child == nil {
		return nil
	}
	if err := k.child.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("telling the keeper: %w", err)
	}
	return nil
}

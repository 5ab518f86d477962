package kit

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lease says how a role takes turns with the same role on other servers.
type Lease struct {
	Kube      kubernetes.Interface
	Namespace string // kube-system when empty
	Name      string // kube-controller-manager, kube-scheduler
	Identity  string // unique among the candidates
	Log       *slog.Logger
	// Duration, Renew and Retry are 15 s, 10 s and 2 s when zero.
	Duration, Renew, Retry time.Duration
}

// Lead calls run while this candidate holds the lease. When the lease is lost, run's
// ctx is cancelled, Lead waits for run and stands for the lease again: losing parks the
// work and ends nothing. It returns when ctx is done, or with run's error.
func Lead(ctx context.Context, l Lease, run func(context.Context) error) error {
	if l.Namespace == "" {
		l.Namespace = metav1.NamespaceSystem
	}
	if l.Duration == 0 {
		l.Duration, l.Renew, l.Retry = 15*time.Second, 10*time.Second, 2*time.Second
	}
	for ctx.Err() == nil {
		if err := l.term(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// term stands for the lease once, runs while it is held and returns when it is lost. The
// lease is given up only after run has returned.
func (l Lease) term(ctx context.Context, run func(context.Context) error) error {
	elect, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	lock := &watchedLock{LeaseLock: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name},
		Client:     l.Kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: l.Identity},
	}}
	result := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          lock,
		LeaseDuration: l.Duration, RenewDeadline: l.Renew, RetryPeriod: l.Retry,
		ReleaseOnCancel: true,
		Name:            l.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			// On a goroutine of the elector, with a ctx that ends with the lease.
			OnStartedLeading: func(held context.Context) {
				defer stop()
				work, cancel := context.WithCancel(held)
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				l.Log.Info("took the lease", "lease", l.Name)
				result <- run(work)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election of %s: %w", l.Name, err)
	}
	defer context.AfterFunc(ctx, func() {
		if !lock.won.Load() {
			stop()
		}
	})()
	elector.Run(elect)
	if !lock.won.Load() {
		return nil
	}
	err = <-result
	l.Log.Info("gave up the lease", "lease", l.Name)
	return err
}

// watchedLock knows whether the lease was ever taken: the elector says so before it
// starts OnStartedLeading.
type watchedLock struct {
	*resourcelock.LeaseLock
	won atomic.Bool
}

// RecordEvent is called on taking and on losing the lease only.
func (w *watchedLock) RecordEvent(s string) {
	w.won.Store(true)
	w.LeaseLock.RecordEvent(s)
}

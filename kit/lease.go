package kit

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"hyperkube/internal/supervise"
	"hyperkube/internal/trouble"
)

// Lease says how a role takes turns with the same role on other servers. The object and its
// fields are those of the standard components, which may be among the candidates.
//
// No two candidates work at once, whatever the API server does:
//
//	request sent ──────────▶ written ────▶ seen by others
//	│◀──── Renew ────▶│ work is cancelled  │
//	                                       │◀──── Duration ────▶│ another may hold it
//
// The holder counts from when it sent the request that succeeded last, the others from when they
// saw it. What is left of Duration after Renew is the time that the work has to end.
type Lease struct {
	Kube      kubernetes.Interface
	Namespace string // kube-system when empty
	Name      string // kube-controller-manager, kube-scheduler
	Identity  string // unique among the candidates
	Log       *slog.Logger
	Failures  *prometheus.CounterVec // the role's trouble.Metric; may be nil
	// Duration, Renew and Retry are 15 s, 10 s and 2 s when zero. Duration is told to others in
	// whole seconds.
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
	if l.Retry <= 0 || l.Renew <= l.Retry || l.Duration <= l.Renew {
		return fmt.Errorf("lease %s: duration %s must be longer than the renew deadline %s, and that longer than the retry period %s",
			l.Name, l.Duration, l.Renew, l.Retry)
	}
	c := &candidate{Lease: l, trouble: trouble.New(l.Log, l.Failures, "holding the lease "+l.Name)}
	for c.stand(ctx) {
		if err := c.term(ctx, run); err != nil {
			return err
		}
		supervise.Pause(ctx, c.Retry)
	}
	return nil
}

// candidate is what one knows of the lease.
type candidate struct {
	Lease
	trouble *trouble.Teller

	have    *coordinationv1.Lease // as last seen, nil before
	seen    time.Time             // when it last changed, by our clock
	renewed time.Time             // when the request was sent that last made or kept it ours
}

// stand tries until the lease is ours; false when ctx is done.
func (c *candidate) stand(ctx context.Context) bool {
	for ctx.Err() == nil {
		won, err := c.take(ctx, c.Renew)
		switch {
		case won && c.left() > 0:
			c.trouble.Well()
			return true
		case err == nil:
			c.trouble.Well()
		case ctx.Err() == nil:
			c.trouble.Failed(err)
		}
		// Not in step with the others.
		supervise.Pause(ctx, c.Retry+time.Duration(rand.Float64()*float64(c.Retry)*0.2))
	}
	return false
}

// term runs the work and renews the lease until the work has ended. The lease is given up only
// then.
func (c *candidate) term(ctx context.Context, run func(context.Context) error) error {
	c.Log.Info("took the lease", "lease", c.Name)
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	// The deadline holds also when a request hangs that should not.
	deadline := time.AfterFunc(c.left(), cancel)
	defer deadline.Stop()
	done := make(chan error, 1)
	go func() {
		done <- supervise.Contain("work under lease "+c.Name, func() error { return run(work) })
	}()
	requests, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { // a request under way when the work ends is of no more use
		err := <-done
		stop()
		ended <- err
	}()
	held := c.keep(requests, deadline)
	cancel()
	err := <-ended
	if held {
		c.release(context.WithoutCancel(ctx))
	}
	c.Log.Info("gave up the lease", "lease", c.Name, "lost", !held)
	return err
}

// keep renews the lease until ctx is done, or the lease lost: false.
func (c *candidate) keep(ctx context.Context, deadline *time.Timer) bool {
	for {
		supervise.Pause(ctx, min(c.Retry, max(c.left(), 0)))
		if ctx.Err() != nil {
			return c.left() > 0
		}
		if c.left() <= 0 {
			c.trouble.Failed(fmt.Errorf("not renewed within %s", c.Renew))
			return false
		}
		// Several tries fit in before the deadline.
		held, err := c.take(ctx, min(c.left(), max(c.Renew/2, c.Retry)))
		switch {
		case ctx.Err() != nil && !held:
			return c.left() > 0
		case err != nil:
			c.trouble.Failed(err)
		case !held:
			c.Log.Warn("the lease was taken by another", "lease", c.Name, "holder", holderOf(c.have))
			return false
		default:
			c.trouble.Well()
			// A deadline that has passed has cancelled the work: that is final.
			if !deadline.Reset(c.left()) {
				return false
			}
		}
	}
}

// left is how long the work may go on without another renewal. A machine that slept is told by the
// wall clock, which the monotonic one does not know of.
func (c *candidate) left() time.Duration {
	now := time.Now()
	passed := max(now.Sub(c.renewed), now.Round(0).Sub(c.renewed.Round(0)))
	return c.Renew - passed
}

// take makes the lease ours, or keeps it so, if nobody else holds it.
func (c *candidate) take(ctx context.Context, within time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if c.have != nil && holderOf(c.have) == c.Identity {
		// Mostly nobody else has written it: one request is enough.
		if won, err := c.write(ctx); !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return won, err
		}
	}
	api := c.Kube.CoordinationV1().Leases(c.Namespace)
	now, err := api.Get(ctx, c.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		c.have = nil
		return c.write(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("reading the lease: %w", err)
	}
	c.see(now)
	if holder := holderOf(now); holder != "" && holder != c.Identity && time.Now().Before(c.seen.Add(durationOf(now))) {
		return false, nil
	}
	won, err := c.write(ctx)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return false, nil // another was first
	}
	return won, err
}

// see notes the lease, and when it last changed.
func (c *candidate) see(l *coordinationv1.Lease) {
	if c.have == nil || c.have.UID != l.UID || c.have.ResourceVersion != l.ResourceVersion {
		c.seen = time.Now()
	}
	c.have = l
}

// write sends the lease with us as its holder.
func (c *candidate) write(ctx context.Context) (bool, error) {
	api := c.Kube.CoordinationV1().Leases(c.Namespace)
	sent := time.Now()
	var l *coordinationv1.Lease
	var err error
	if c.have == nil {
		l, err = api.Create(ctx, c.ours(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name}}, sent), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return false, nil
		}
	} else {
		l, err = api.Update(ctx, c.ours(c.have.DeepCopy(), sent), metav1.UpdateOptions{})
	}
	if err != nil {
		return false, fmt.Errorf("writing the lease: %w", err)
	}
	c.see(l)
	c.renewed = sent
	return true, nil
}

// ours fills in the holder and the times.
func (c *candidate) ours(l *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(now)
	seconds := int32((c.Duration + time.Second - 1) / time.Second)
	transitions := int32(0)
	if l.Spec.LeaseTransitions != nil {
		transitions = *l.Spec.LeaseTransitions
	}
	if before := holderOf(l); before != c.Identity || l.Spec.AcquireTime == nil {
		l.Spec.AcquireTime = &at
		if l.UID != "" {
			transitions++
		}
	}
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds = &c.Identity, &seconds
	l.Spec.RenewTime, l.Spec.LeaseTransitions = &at, &transitions
	return l
}

// release gives the lease up, so that the next need not wait for its end.
func (c *candidate) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.Renew)
	defer cancel()
	api := c.Kube.CoordinationV1().Leases(c.Namespace)
	err := RetryConflict(ctx, func(ctx context.Context) error {
		l, err := api.Get(ctx, c.Name, metav1.GetOptions{})
		if err != nil || holderOf(l) != c.Identity {
			return err
		}
		nobody, second, now := "", int32(1), metav1.NowMicro()
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.RenewTime, l.Spec.AcquireTime = &nobody, &second, &now, &now
		_, err = api.Update(ctx, l, metav1.UpdateOptions{})
		return err
	})
	c.have = nil
	if err != nil {
		c.Log.Info("lease not released, it will run out", "lease", c.Name, "err", err)
	}
}

func holderOf(l *coordinationv1.Lease) string {
	if l == nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func durationOf(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

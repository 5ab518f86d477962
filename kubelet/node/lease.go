package node

import (
	"context"
	"time"

	coordv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	leaseNamespace = "kube-node-lease"
	leaseSeconds   = 40
	renewEvery     = 10 * time.Second
	renewRetry     = time.Second
)

// renew keeps the node's lease until ctx ends.
func (a *Agent) renew(ctx context.Context) {
	var have *coordv1.Lease
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		got, err := a.renewOnce(ctx, have)
		if err != nil {
			if ctx.Err() == nil {
				a.renewing.Failed(err, "node", a.o.Name)
			}
			have = nil // read anew
			timer.Reset(renewRetry)
			continue
		}
		have = got
		a.renewing.Well()
		timer.Reset(renewEvery)
	}
}

func (a *Agent) renewOnce(ctx context.Context, have *coordv1.Lease) (*coordv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	leases := a.o.Kube.CoordinationV1().Leases(leaseNamespace)
	if have == nil {
		got, err := leases.Get(ctx, a.o.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return leases.Create(ctx, a.lease(&coordv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: a.o.Name, Namespace: leaseNamespace}}), metav1.CreateOptions{})
		case err != nil:
			return nil, err
		}
		have = got
	}
	return leases.Update(ctx, a.lease(have.DeepCopy()), metav1.UpdateOptions{})
}

func (a *Agent) lease(l *coordv1.Lease) *coordv1.Lease {
	l.Spec.HolderIdentity = new(a.o.Name)
	l.Spec.LeaseDurationSeconds = new(int32(leaseSeconds))
	l.Spec.RenewTime = new(metav1.NowMicro())
	if n := a.Node(); n != nil && len(l.OwnerReferences) == 0 {
		l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
	}
	return l
}

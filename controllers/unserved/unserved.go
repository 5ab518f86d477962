// Package unserved tells users of objects that nothing acts upon: kinds that the API server
// serves while the controller behind them is not part of this manager yet, and runs nowhere
// else either.
//
//	object ──▶ a minute later: has anybody taken it up? ──▶ no: one Warning event on it
//
// What counts is what the object says (a condition, a certificate, a bound volume), not who
// runs: a standard controller beside this one keeps it silent. docs/controllers.md is the list.
package unserved

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

const (
	// patience is how long a controller may take to show that it is there.
	patience = time.Minute
	reason   = "NotServed"
)

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	events := e.Events.Recorder("controllermanager")
	return env.Group{
		tell(e, events, autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers"), "horizontal-pod-autoscaler-controller", idleAutoscaler),
		tell(e, events, certificatesv1.SchemeGroupVersion.WithResource("certificatesigningrequests"), "certificatesigningrequest-signing-controller", unsigned),
		tell(e, events, networkingv1.SchemeGroupVersion.WithResource("servicecidrs"), "service-cidr-controller", unready),
		tell(e, events, corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims"), "persistentvolume-binder-controller", unbound),
	}, nil
}

// tell watches one kind. waits reports whether an object is one that nobody has taken up, and since
// when it could have been.
func tell[T kit.Object](e *env.Env, events kit.Recorder, gvr schema.GroupVersionResource, controller string, waits func(T) (time.Time, bool)) env.Runner {
	objects := kit.InformerFor[T](e.Informers, gvr)
	var told kit.Notes[bool]
	loop := e.Wide("unserved-"+gvr.Resource, 1, func(_ context.Context, key kit.Key) (kit.Result, error) {
		o, ok := objects.Get(key.Namespace, key.Name)
		if !ok {
			told.Forget(key)
			return kit.Result{}, nil
		}
		since, waiting := waits(o)
		if _, done := told.Get(key, o.GetUID()); done || !waiting || o.GetDeletionTimestamp() != nil {
			return kit.Result{}, nil
		}
		if left := patience - time.Since(since); left > 0 {
			return kit.After(left), nil
		}
		told.Set(key, o.GetUID(), true)
		events.Eventf(o, corev1.EventTypeWarning, reason, "Nothing acts upon this object: no %s runs in this cluster", controller)
		return kit.Result{}, nil
	})
	kit.WatchSelf(loop, objects)
	return loop
}

func idleAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) (time.Time, bool) {
	return h.CreationTimestamp.Time, len(h.Status.Conditions) == 0
}

// unsigned: approved, for a signer of the cluster's own, and without a certificate. Other signers are
// somebody else's.
func unsigned(c *certificatesv1.CertificateSigningRequest) (since time.Time, waits bool) {
	switch c.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName:
	default:
		return since, false
	}
	approved := false
	for _, x := range c.Status.Conditions {
		switch x.Type {
		case certificatesv1.CertificateApproved:
			approved, since = true, x.LastUpdateTime.Time
		case certificatesv1.CertificateFailed, certificatesv1.CertificateDenied:
			return since, false
		}
	}
	if since.Before(c.CreationTimestamp.Time) {
		since = c.CreationTimestamp.Time
	}
	return since, approved && len(c.Status.Certificate) == 0
}

func unready(c *networkingv1.ServiceCIDR) (time.Time, bool) {
	for _, x := range c.Status.Conditions {
		if x.Type == networkingv1.ServiceCIDRConditionReady {
			return time.Time{}, false
		}
	}
	return c.CreationTimestamp.Time, true
}

// unbound: waits for a volume, and no provisioner is named that may be about to make it.
func unbound(c *corev1.PersistentVolumeClaim) (time.Time, bool) {
	for _, name := range []string{"volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"} {
		if c.Annotations[name] != "" {
			return time.Time{}, false
		}
	}
	return c.CreationTimestamp.Time, c.Status.Phase != corev1.ClaimBound && c.Status.Phase != corev1.ClaimLost
}

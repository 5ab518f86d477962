// Package endpoints keeps the Endpoints object of every service with a selector,
// for clients that do not read endpoint slices yet.
package endpoints

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/backends"
	"hyperkube/controllers/env"
	"hyperkube/kit"
)

type controller struct {
	env       *env.Env
	services  *kit.Informer[*corev1.Service]
	pods      *kit.Informer[*corev1.Pod]
	endpoints *kit.Informer[*corev1.Endpoints]
	events    kit.Recorder
	since     kit.Notes[time.Time]
}

// New makes the controller.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		env: e, services: e.Services(), pods: e.Pods(), endpoints: e.Endpoints(),
		events: e.Events.Recorder("endpoint-controller"),
	}
	loop := e.Controller("endpoints-controller", c.reconcile)
	kit.WatchSelf(loop, c.services)
	backends.Watch(loop, c.services, c.pods)
	kit.WatchWith(loop, c.endpoints, kit.Handler[*corev1.Endpoints]{
		// Those of services that went while nobody watched; and what others removed.
		Add: func(ep *corev1.Endpoints, initial bool) {
			if initial {
				loop.Add(kit.KeyOf(ep))
			}
		},
		Delete: func(ep *corev1.Endpoints) { loop.Add(kit.KeyOf(ep)) },
	})
	return loop, nil
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	svc, ok := c.services.Get(key.Namespace, key.Name)
	if !ok {
		return kit.Result{}, c.removeLeftOver(ctx, key)
	}
	if len(svc.Spec.Selector) == 0 || svc.Spec.Type == corev1.ServiceTypeExternalName || svc.DeletionTimestamp != nil {
		return kit.Result{}, nil
	}
	s := snapshot{service: svc, pods: backends.Pods(c.pods, svc)}
	if have, ok := c.endpoints.Get(key.Namespace, key.Name); ok {
		s.have = have
	}
	since, _ := c.since.Get(key, svc.UID)
	var latest time.Time
	s.trigger, latest = backends.Trigger(svc, s.pods, since)
	out := planEndpoints(s)
	if out == nil {
		return kit.Result{}, nil
	}
	if err := c.write(ctx, svc, out); err != nil {
		return kit.Result{}, err
	}
	c.since.Set(key, svc.UID, latest)
	return kit.Result{}, nil
}

func (c *controller) write(ctx context.Context, svc *corev1.Service, out *corev1.Endpoints) error {
	api := c.env.Kube.CoreV1().Endpoints(out.Namespace)
	var err error
	verb := "create"
	if out.ResourceVersion == "" {
		_, err = api.Create(ctx, out, metav1.CreateOptions{})
	} else {
		verb = "update"
		_, err = api.Update(ctx, out, metav1.UpdateOptions{})
	}
	switch {
	case err == nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err):
		c.events.Eventf(svc, corev1.EventTypeWarning, "FailedTo"+map[string]string{"create": "Create", "update": "Update"}[verb]+"Endpoint",
			"Failed to %s endpoint %s/%s: %v", verb, out.Namespace, out.Name, err)
	}
	return fmt.Errorf("%s of endpoints: %w", verb, err)
}

// removeLeftOver deletes the Endpoints of a service that is gone, when they are ours.
func (c *controller) removeLeftOver(ctx context.Context, key kit.Key) error {
	c.since.Forget(key)
	ep, ok := c.endpoints.Get(key.Namespace, key.Name)
	if !ok || ep.Annotations["control-plane.alpha.kubernetes.io/leader"] != "" {
		return nil
	}
	err := c.env.Kube.CoreV1().Endpoints(key.Namespace).Delete(ctx, key.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &ep.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting endpoints: %w", err)
	}
	return nil
}

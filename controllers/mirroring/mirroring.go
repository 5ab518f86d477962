// Package mirroring copies Endpoints that users keep by hand, for services without a
// selector, into the endpoint slices that proxies and DNS read.
package mirroring

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"hyperkube/controllers/env"
	"hyperkube/kit"
)

var endpointsKind = corev1.SchemeGroupVersion.WithKind("Endpoints")

const (
	byEndpoints      = "mirrored"
	leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"
)

type controller struct {
	kube      kubernetes.Interface
	endpoints *kit.Informer[*corev1.Endpoints]
	services  *kit.Informer[*corev1.Service]
	slices    *kit.Informer[*discoveryv1.EndpointSlice]
	expect    *kit.Expectations
}

// New makes the controller. Its keys are Endpoints.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		kube: e.Kube, endpoints: e.Endpoints(), services: e.Services(), slices: e.EndpointSlices(), expect: kit.NewExpectations(),
	}
	c.slices.AddIndex(byEndpoints, func(s *discoveryv1.EndpointSlice) []string {
		if k, ok := mirrored(s); ok {
			return []string{k.String()}
		}
		return nil
	})
	loop := e.Controller("endpointslice-mirroring-controller", c.reconcile)
	kit.WatchSelf(loop, c.endpoints)
	kit.WatchSelf(loop, c.services)
	add := func(s *discoveryv1.EndpointSlice) {
		if k, ok := mirrored(s); ok {
			loop.Add(k)
		}
	}
	kit.WatchWith(loop, c.slices, kit.Handler[*discoveryv1.EndpointSlice]{
		Add: func(s *discoveryv1.EndpointSlice, _ bool) {
			if k, ok := mirrored(s); ok {
				c.expect.Created(k)
				loop.Add(k)
			}
		},
		Update: func(old, s *discoveryv1.EndpointSlice) { add(old); add(s) },
		Delete: add,
	})
	return loop, nil
}

func mirrored(s *discoveryv1.EndpointSlice) (kit.Key, bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	return kit.Key{Namespace: s.Namespace, Name: name}, name != "" && s.Labels[discoveryv1.LabelManagedBy] == managedBy
}

// wanted returns the Endpoints when they are to be mirrored: those of a service whose pods nobody selects.
func (c *controller) wanted(key kit.Key) *corev1.Endpoints {
	ep, ok := c.endpoints.Get(key.Namespace, key.Name)
	if !ok || ep.DeletionTimestamp != nil || ep.Labels[discoveryv1.LabelSkipMirror] == "true" || ep.Annotations[leaderAnnotation] != "" {
		return nil
	}
	svc, ok := c.services.Get(key.Namespace, key.Name)
	if !ok || len(svc.Spec.Selector) > 0 {
		return nil
	}
	return ep
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	want := c.wanted(key)
	owner := types.UID("")
	if want != nil {
		owner = want.UID
	}
	if wait := c.expect.Wait(key, owner); wait > 0 {
		return kit.After(wait), nil // seeing an expected slice brings the key back sooner
	}
	p := planSlices(want, c.slices.ByIndex(byEndpoints, key.String()))
	api := c.kube.DiscoveryV1().EndpointSlices(key.Namespace)
	for _, s := range p.update {
		if _, err := api.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			return kit.Result{}, fmt.Errorf("updating slice %s: %w", s.Name, err)
		}
	}
	for _, s := range p.create {
		c.expect.Creations(key, owner, 1)
		if _, err := api.Create(ctx, s, metav1.CreateOptions{}); err != nil {
			c.expect.Created(key)
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				return kit.Result{}, nil
			}
			return kit.Result{}, fmt.Errorf("creating slice: %w", err)
		}
	}
	for _, s := range p.remove {
		if err := api.Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return kit.Result{}, fmt.Errorf("deleting slice %s: %w", s.Name, err)
		}
	}
	return kit.Result{}, nil
}

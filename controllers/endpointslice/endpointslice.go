// Package endpointslice keeps, for every service with a selector, the slices
// that list the addresses of its pods.
//
//	Service, its pods, their nodes' zones ──▶ plan ──▶ create, update, delete slices
//
// An endpoint stays in the slice where it is; a change of one pod writes one slice.
package endpointslice

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"hyperkube/controllers/backends"
	"hyperkube/controllers/env"
	"hyperkube/kit"
)

var serviceKind = corev1.SchemeGroupVersion.WithKind("Service")

const byService = "service"

type controller struct {
	kube     kubernetes.Interface
	services *kit.Informer[*corev1.Service]
	pods     *kit.Informer[*corev1.Pod]
	nodes    *kit.Informer[*corev1.Node]
	slices   *kit.Informer[*discoveryv1.EndpointSlice]
	expect   *kit.Expectations // slices created and not seen yet
	events   kit.Recorder
	since    kit.Notes[time.Time] // the newest change each service's slices tell of
}

// New makes the controller of EndpointSlices.
func New(e *env.Env) (env.Runner, error) {
	c := &controller{
		kube: e.Kube, services: e.Services(), pods: e.PodsOnNodes(), nodes: e.Nodes(), slices: e.EndpointSlices(),
		expect: kit.NewExpectations(),
		events: e.Events.Recorder("endpoint-slice-controller"),
	}
	c.slices.AddIndex(byService, func(s *discoveryv1.EndpointSlice) []string {
		if k, ok := serviceOf(s); ok {
			return []string{k.String()}
		}
		return nil
	})
	loop := e.Controller("endpointslice-controller", c.reconcile)
	kit.WatchSelf(loop, c.services)
	concern := backends.Watch(loop, c.services, c.pods)
	// Endpoints tell the zone of their node, which may be seen after the pod.
	zoneKnown := func(n *corev1.Node) {
		for _, p := range c.pods.ByIndex(env.PodsByNode, n.Name) {
			concern(p)
		}
	}
	kit.WatchWith(loop, c.nodes, kit.Handler[*corev1.Node]{
		Add: func(n *corev1.Node, _ bool) { zoneKnown(n) },
		Update: func(old, n *corev1.Node) {
			if old.Labels[zoneLabel] != n.Labels[zoneLabel] {
				zoneKnown(n)
			}
		},
	})
	kit.WatchWith(loop, c.slices, kit.Handler[*discoveryv1.EndpointSlice]{
		Add: func(s *discoveryv1.EndpointSlice, _ bool) {
			if k, ok := serviceOf(s); ok {
				c.expect.Created(k)
				loop.Add(k)
			}
		},
		Update: func(old, s *discoveryv1.EndpointSlice) {
			for _, sl := range []*discoveryv1.EndpointSlice{old, s} {
				if k, ok := serviceOf(sl); ok {
					loop.Add(k)
				}
			}
		},
		Delete: func(s *discoveryv1.EndpointSlice) {
			if k, ok := serviceOf(s); ok {
				loop.Add(k)
			}
		},
	})
	return loop, nil
}

// serviceOf is the service of a slice that is ours to manage.
func serviceOf(s *discoveryv1.EndpointSlice) (kit.Key, bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" || s.Labels[discoveryv1.LabelManagedBy] != managedBy {
		return kit.Key{}, false
	}
	return kit.Key{Namespace: s.Namespace, Name: name}, true
}

func (c *controller) reconcile(ctx context.Context, key kit.Key) (kit.Result, error) {
	svc, ok := c.services.Get(key.Namespace, key.Name)
	if !ok || svc.DeletionTimestamp != nil {
		// The slices belong to the service and go with it.
		c.expect.Forget(key)
		c.since.Forget(key)
		return kit.Result{}, nil
	}
	if len(svc.Spec.Selector) == 0 || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return kit.Result{}, nil
	}
	if wait := c.expect.Wait(key, svc.UID); wait > 0 {
		return kit.After(wait), nil // seeing an expected slice brings the key back sooner
	}
	s := snapshot{service: svc, slices: c.slices.ByIndex(byService, key.String()), pods: backends.Pods(c.pods, svc)}
	s.zones = c.zonesOf(s.pods)
	var latest time.Time
	since, _ := c.since.Get(key, svc.UID)
	s.trigger, latest = backends.Trigger(svc, s.pods, since)
	p := planSlices(s)
	if err := c.apply(ctx, svc, p); err != nil {
		if !apierrors.IsConflict(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			c.events.Eventf(svc, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices",
				"Error updating Endpoint Slices for Service %s: %v", key, err)
		}
		return kit.Result{}, err
	}
	c.since.Set(key, svc.UID, latest)
	return kit.Result{}, nil
}

func (c *controller) zonesOf(pods []*corev1.Pod) map[string]string {
	zones := map[string]string{}
	for _, p := range pods {
		name := p.Spec.NodeName
		if _, done := zones[name]; done || name == "" {
			continue
		}
		if n, ok := c.nodes.Get("", name); ok {
			zones[name] = n.Labels[zoneLabel]
		}
	}
	return zones
}

func (c *controller) apply(ctx context.Context, svc *corev1.Service, p plan) error {
	key := kit.KeyOf(svc)
	api := c.kube.DiscoveryV1().EndpointSlices(key.Namespace)
	for _, s := range p.update {
		if _, err := api.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("updating slice %s: %w", s.Name, err)
		}
	}
	for _, s := range p.create {
		c.expect.Creations(key, svc.UID, 1)
		if _, err := api.Create(ctx, s, metav1.CreateOptions{}); err != nil {
			c.expect.Created(key)
			if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
				return nil
			}
			return fmt.Errorf("creating slice: %w", err)
		}
	}
	for _, s := range p.remove {
		if err := api.Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting slice %s: %w", s.Name, err)
		}
	}
	return nil
}

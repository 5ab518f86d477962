package proxy

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"hyperkube/kit"
)

const bySliceOwner = "proxy-service"

// changes collects the services, and whether nodes, that have to be looked at.
type changes struct {
	mu       sync.Mutex
	services map[kit.Key]bool
	nodes    bool        // addresses of nodes
	triggers []time.Time // when the changes that led to slices' updates happened
	bell     chan struct{}
}

// maxTriggers bounds what one sync reports of latencies.
const maxTriggers = 10000

func newChanges() *changes {
	return &changes{services: map[kit.Key]bool{}, bell: make(chan struct{}, 1)}
}

func (c *changes) wake() {
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

func (c *changes) add(k kit.Key, trigger time.Time) {
	c.mu.Lock()
	c.services[k] = true
	if !trigger.IsZero() && len(c.triggers) < maxTriggers {
		c.triggers = append(c.triggers, trigger)
	}
	c.mu.Unlock()
	c.wake()
}

func (c *changes) nodesChanged() {
	c.mu.Lock()
	c.nodes = true
	c.mu.Unlock()
	c.wake()
}

func (c *changes) take() (services map[kit.Key]bool, nodes bool, triggers []time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	services, nodes, triggers = c.services, c.nodes, c.triggers
	c.services, c.nodes, c.triggers = map[kit.Key]bool{}, false, nil
	return services, nodes, triggers
}

// watch connects the informers with the changes.
func (p *Proxy) watch() {
	f := p.o.Informers
	p.services = kit.InformerFor[*corev1.Service](f, corev1.SchemeGroupVersion.WithResource("services"))
	p.slices = kit.InformerFor[*discoveryv1.EndpointSlice](f, discoveryv1.SchemeGroupVersion.WithResource("endpointslices"))
	p.nodes = kit.InformerFor[*corev1.Node](f, corev1.SchemeGroupVersion.WithResource("nodes"))
	p.slices.AddIndex(bySliceOwner, func(s *discoveryv1.EndpointSlice) []string {
		if name := s.Labels[discoveryv1.LabelServiceName]; name != "" {
			return []string{s.Namespace + "/" + name}
		}
		return nil
	})
	p.services.OnChange(kit.Any(func(s *corev1.Service) { p.changes.add(kit.KeyOf(s), time.Time{}) }))
	slice := func(s *discoveryv1.EndpointSlice, trigger time.Time) {
		if name := s.Labels[discoveryv1.LabelServiceName]; name != "" {
			p.changes.add(kit.Key{Namespace: s.Namespace, Name: name}, trigger)
		}
	}
	p.slices.OnChange(kit.Handler[*discoveryv1.EndpointSlice]{
		Add: func(s *discoveryv1.EndpointSlice, initial bool) {
			t := triggerTime(s)
			if initial { // it happened before we were here
				t = time.Time{}
			}
			slice(s, t)
		},
		Update: func(old, s *discoveryv1.EndpointSlice) {
			if old.Labels[discoveryv1.LabelServiceName] != s.Labels[discoveryv1.LabelServiceName] {
				slice(old, time.Time{})
			}
			t := triggerTime(s)
			if t.Equal(triggerTime(old)) {
				t = time.Time{}
			}
			slice(s, t)
		},
		Delete: func(s *discoveryv1.EndpointSlice) { slice(s, time.Time{}) },
	})
	p.watchNodes()
}

func (p *Proxy) changeAll() {
	for _, s := range p.services.List() {
		p.changes.add(kit.KeyOf(s), time.Time{})
	}
}

// triggerTime is when the pods changed that a slice was written for.
func triggerTime(s *discoveryv1.EndpointSlice) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s.Annotations[corev1.EndpointsLastChangeTriggerTime])
	if err != nil {
		return time.Time{}
	}
	return t
}

package scheduler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	"hyperkube/kit"
	"hyperkube/scheduler/framework"
)

var _ framework.Storage = informers{}

// informers are what the scheduler reads; they answer plugins' questions about
// storage.
type informers struct {
	pods       *kit.Informer[*corev1.Pod]
	nodes      *kit.Informer[*corev1.Node]
	namespaces *kit.Informer[*corev1.Namespace]
	budgets    *kit.Informer[*policyv1.PodDisruptionBudget]
	claims     *kit.Informer[*corev1.PersistentVolumeClaim]
	volumes    *kit.Informer[*corev1.PersistentVolume]
	classes    *kit.Informer[*storagev1.StorageClass]
	devices    *kit.Informer[*resourcev1.ResourceClaim] // not waited for: not every API server has them
}

func informersOf(f *kit.Informers) informers {
	core := corev1.SchemeGroupVersion
	return informers{
		pods:       kit.InformerFor[*corev1.Pod](f, core.WithResource("pods")),
		nodes:      kit.InformerFor[*corev1.Node](f, core.WithResource("nodes")),
		namespaces: kit.InformerFor[*corev1.Namespace](f, core.WithResource("namespaces")),
		budgets:    kit.InformerFor[*policyv1.PodDisruptionBudget](f, policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")),
		claims:     kit.InformerFor[*corev1.PersistentVolumeClaim](f, core.WithResource("persistentvolumeclaims")),
		volumes:    kit.InformerFor[*corev1.PersistentVolume](f, core.WithResource("persistentvolumes")),
		classes:    kit.InformerFor[*storagev1.StorageClass](f, storagev1.SchemeGroupVersion.WithResource("storageclasses")),
		devices:    kit.InformerFor[*resourcev1.ResourceClaim](f, resourcev1.SchemeGroupVersion.WithResource("resourceclaims")),
	}
}

func (i informers) waitSynced(ctx context.Context) bool {
	for _, synced := range []func(context.Context) error{
		i.pods.WaitSynced, i.nodes.WaitSynced, i.namespaces.WaitSynced, i.budgets.WaitSynced,
		i.claims.WaitSynced, i.volumes.WaitSynced, i.classes.WaitSynced,
	} {
		if synced(ctx) != nil {
			return false
		}
	}
	return true
}

// Claim implements framework.Storage.
func (i informers) Claim(namespace, name string) *corev1.PersistentVolumeClaim {
	c, _ := i.claims.Get(namespace, name)
	return c
}

// Volume implements framework.Storage.
func (i informers) Volume(name string) *corev1.PersistentVolume {
	v, _ := i.volumes.Get("", name)
	return v
}

// Delayed implements framework.Storage.
func (i informers) Delayed(class string) bool {
	c, ok := i.classes.Get("", class)
	return ok && c.VolumeBindingMode != nil && *c.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// Device implements framework.Storage.
func (i informers) Device(namespace, name string) *resourcev1.ResourceClaim {
	c, _ := i.devices.Get(namespace, name)
	return c
}

// namespacesMatching resolves namespace selectors of affinity terms.
func (i informers) namespacesMatching(sel labels.Selector) []string {
	var out []string
	for _, n := range i.namespaces.List() {
		if sel.Matches(labels.Set(n.Labels)) {
			out = append(out, n.Name)
		}
	}
	return out
}

// watch fills the inbox from the informers.
func (s *Scheduler) watch() {
	s.pods.OnChange(kit.Handler[*corev1.Pod]{
		Add:    func(p *corev1.Pod, _ bool) { s.inbox.pod(p.UID, p) },
		Update: s.inbox.podUpdated,
		Delete: func(p *corev1.Pod) { s.inbox.pod(p.UID, nil) },
	})
	s.nodes.OnChange(kit.Handler[*corev1.Node]{
		Add:    func(n *corev1.Node, _ bool) { s.inbox.node(n.Name, n) },
		Update: func(_, n *corev1.Node) { s.inbox.node(n.Name, n) },
		Delete: func(n *corev1.Node) { s.inbox.node(n.Name, nil) },
	})
	s.namespaces.OnChange(kit.Handler[*corev1.Namespace]{
		Add: func(*corev1.Namespace, bool) { s.inbox.note(noteNamespaces) },
		Update: func(old, n *corev1.Namespace) {
			if !equality.Semantic.DeepEqual(old.Labels, n.Labels) {
				s.inbox.note(noteNamespaces)
			}
		},
		Delete: func(*corev1.Namespace) { s.inbox.note(noteNamespaces) },
	})
	s.claims.OnChange(kit.Any(func(*corev1.PersistentVolumeClaim) { s.inbox.note(noteStorage) }))
	s.volumes.OnChange(kit.Any(func(*corev1.PersistentVolume) { s.inbox.note(noteStorage) }))
	s.classes.OnChange(kit.Any(func(*storagev1.StorageClass) { s.inbox.note(noteStorage) }))
	s.devices.OnChange(kit.Any(func(*resourcev1.ResourceClaim) { s.inbox.note(noteDevices) }))
}

// seed takes the first lists before anything is decided: that an informer is in
// sync does not mean that its handlers have been told of everything. What they
// tell later is older at first and catches up.
func (s *Scheduler) seed() {
	for _, n := range s.nodes.List() {
		s.inbox.node(n.Name, n)
	}
	for _, p := range s.pods.List() {
		s.inbox.pod(p.UID, p)
	}
}

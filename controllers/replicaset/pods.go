package replicaset

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/podctl"
	"hyperkube/kit"
)

// owner resolves the set that controls a pod; false when there is none of that UID.
func (c *controller) owner(p *corev1.Pod) (kit.Key, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != c.kind.gvk.Kind {
		return kit.Key{}, false
	}
	key := kit.Key{Namespace: p.Namespace, Name: ref.Name}
	uid, ok := c.kind.uid(key)
	return key, ok && uid == ref.UID
}

// ownerOf is the set that controls a pod.
func (c *controller) ownerOf(p *corev1.Pod) (*appsv1.ReplicaSet, bool) {
	key, ok := c.owner(p)
	if !ok {
		return nil, false
	}
	return c.kind.get(key)
}

func (c *controller) podAdded(p *corev1.Pod) {
	if key, ok := c.owner(p); ok {
		c.expect.Created(key)
		if p.DeletionTimestamp != nil { // seen first when already going, after a restart
			c.expect.Deleted(key, p.UID)
		}
		c.loop.Add(key)
		return
	}
	if p.DeletionTimestamp != nil {
		return
	}
	if metav1.GetControllerOfNoCopy(p) == nil {
		c.offer(p)
	}
}

func (c *controller) podChanged(old, p *corev1.Pod) {
	if old.ResourceVersion == p.ResourceVersion {
		return
	}
	if set, ok := c.ownerOf(p); ok {
		c.losses.Changed(set, int(want(set)), old, p, time.Now())
	}
	key, owned := c.owner(p)
	if p.DeletionTimestamp != nil {
		// On its way out it no longer counts: that is the deletion that was waited for.
		c.podGone(old)
		if owned {
			c.expect.Deleted(key, p.UID)
			c.loop.Add(key)
		}
		return
	}
	was, had := c.owner(old)
	if had && (!owned || was != key) {
		c.loop.Add(was)
	}
	if owned {
		c.loop.Add(key)
		c.whenAvailable(key, old, p)
		return
	}
	if metav1.GetControllerOfNoCopy(p) == nil && (had || !sameLabels(old.Labels, p.Labels)) {
		c.offer(p)
	}
}

// whenAvailable comes back when a pod that turned ready has been so for long enough.
func (c *controller) whenAvailable(key kit.Key, old, p *corev1.Pod) {
	if podctl.Ready(old) || !podctl.Ready(p) {
		return
	}
	if set, ok := c.kind.get(key); ok && set.Spec.MinReadySeconds > 0 {
		c.loop.AddAfter(key, time.Duration(set.Spec.MinReadySeconds)*time.Second+time.Second)
	}
}

func (c *controller) podGone(p *corev1.Pod) {
	if key, ok := c.owner(p); ok {
		c.expect.Deleted(key, p.UID)
		c.loop.Add(key)
	}
}

// offer shows an orphan to the sets of its namespace that select it.
func (c *controller) offer(p *corev1.Pod) {
	if len(p.Labels) == 0 {
		return
	}
	c.offers.Offer(c.loop, p.Namespace, p.Labels)
}

func sameLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

package authz

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"

	"hyperkube/apiserver/request"
	"hyperkube/internal/bounds"
	"hyperkube/store"
)

// relation says what keeps the node from the object; "" is nothing.
type relation func(*relationship) (string, error)

// relationship of a node with what a request is about.
type relationship struct {
	*request.Info
	a    *Node
	ctx  context.Context // of the one request that asks
	node string
	name string // the one object that is asked for, "" for many or for a new one
}

// nameOf is the one object the request is about: in its path or selected by name.
// A request that says both, and not the same, is about none.
func nameOf(i *request.Info) string {
	selected := selectedField(i, "metadata.name")
	if i.Name != "" && selected != "" && selected != i.Name {
		return ""
	}
	if i.Name != "" {
		return i.Name
	}
	return selected
}

// selectedField is the value that a field selector requires of path. Only what
// reads or deletes collections has one.
func selectedField(i *request.Info, path string) string {
	if i.FieldSelector == "" || len(i.FieldSelector) > bounds.Selector || i.Verb != "list" && i.Verb != "watch" && i.Verb != "deletecollection" {
		return ""
	}
	s, err := fields.ParseSelector(i.FieldSelector)
	if err != nil {
		return ""
	}
	v, _ := s.RequiresExactMatch(path)
	return v
}

func anything(*relationship) (string, error) { return "", nil }

// either holds when one does; the first one's refusal is told.
func either(first, second relation) relation {
	return func(r *relationship) (string, error) {
		refusal, err := first(r)
		if err != nil || refusal == "" || r.name == "" {
			return refusal, err
		}
		return second(r)
	}
}

func both(first, second relation) relation {
	return func(r *relationship) (string, error) {
		if refusal, err := first(r); err != nil || refusal != "" {
			return refusal, err
		}
		return second(r)
	}
}

// bySelector: what is listed is narrowed to the node.
func bySelector(path, refusal string) relation {
	return func(r *relationship) (string, error) {
		if selectedField(r.Info, path) == r.node {
			return "", nil
		}
		return refusal, nil
	}
}

// byNodeName: the object bears the node's name.
func byNodeName(r *relationship) (string, error) {
	switch {
	case r.name == r.node:
		return "", nil
	case r.Resource != "nodes":
		return "can only access " + r.Resource + " with the same name as the requesting node", nil
	case r.name == "":
		return "node '" + r.node + "' cannot read all nodes, only its own Node object", nil
	}
	return "node '" + r.node + "' cannot " + r.Verb + " '" + r.name + "', only its own Node object", nil
}

// byNodeNameOrBody: a create whose path has no name; the one in the body is
// NodeRestriction's matter.
func byNodeNameOrBody(r *relationship) (string, error) {
	if r.Info.Name == "" {
		return "", nil
	}
	return byNodeName(r)
}

func inLeaseNamespace(r *relationship) (string, error) {
	if r.Namespace != corev1.NamespaceNodeLease {
		return "can only access leases in the " + corev1.NamespaceNodeLease + " system namespace", nil
	}
	return "", nil
}

func noRelation(node string) string {
	return "no relationship found between node '" + node + "' and this object"
}

// The relations below lead from the node over its pods to the one object that is
// named. Only a refusal is confirmed with a read that is as new as etcd.

// byPods: a pod on the node, in the object's namespace, uses it.
func byPods(r *relationship) (string, error) {
	if r.Namespace == "" {
		return "can only read namespaced object of this type", nil
	}
	return r.confirmed(func(f store.Freshness) (bool, error) {
		ok, err := r.anyPod(r.Namespace, f, func(p *corev1.Pod) bool { return refers(p, r.Resource, r.name) })
		if ok || err != nil || r.Resource != "secrets" {
			return ok, err
		}
		// The secret of a volume may lie in another namespace than the pod.
		return r.anyPod("", f, func(p *corev1.Pod) bool {
			return r.a.volumeSecret(r.ctx, p, store.Key{Namespace: r.Namespace, Name: r.name}, f)
		})
	})
}

// byBinding: the pod is bound to the node. One that is gone was nobody's: a watch
// for its name could show its successor on another node.
func byBinding(r *relationship) (string, error) {
	if r.Namespace == "" {
		return "can only read namespaced object of this type", nil
	}
	return r.confirmed(func(f store.Freshness) (bool, error) {
		o, err := r.get("", "pods", store.Key{Namespace: r.Namespace, Name: r.name}, f)
		p, ok := o.(*corev1.Pod)
		return ok && p.Spec.NodeName == r.node, err
	})
}

// byClaim: the volume is bound to a claim that a pod on the node uses.
func byClaim(r *relationship) (string, error) {
	return r.confirmed(func(f store.Freshness) (bool, error) {
		o, err := r.get("", "persistentvolumes", store.Key{Name: r.name}, f)
		pv, ok := o.(*corev1.PersistentVolume)
		if !ok || pv.Spec.ClaimRef == nil {
			return false, err
		}
		claim := pv.Spec.ClaimRef
		return r.anyPod(claim.Namespace, f, func(p *corev1.Pod) bool { return refers(p, "persistentvolumeclaims", claim.Name) })
	})
}

func byAttachment(r *relationship) (string, error) {
	return r.confirmed(func(f store.Freshness) (bool, error) {
		o, err := r.get(r.Group, r.Resource, store.Key{Name: r.name}, f)
		va, ok := o.(*storagev1.VolumeAttachment)
		return ok && va.Spec.NodeName == r.node, err
	})
}

func bySlice(r *relationship) (string, error) {
	return r.confirmed(func(f store.Freshness) (bool, error) {
		o, err := r.get(r.Group, r.Resource, store.Key{Name: r.name}, f)
		s, ok := o.(*resourcev1.ResourceSlice)
		return ok && s.Spec.NodeName != nil && *s.Spec.NodeName == r.node, err
	})
}

func (r *relationship) confirmed(found func(store.Freshness) (bool, error)) (string, error) {
	if r.name == "" {
		return "No Object name found", nil
	}
	for _, f := range [...]store.Freshness{{Any: true}, {}} {
		ok, err := found(f)
		if err != nil {
			return "", err
		}
		if ok {
			return "", nil
		}
	}
	return noRelation(r.node), nil
}

// anyPod reports whether match holds for a pod on the node in the namespace ("": any).
func (r *relationship) anyPod(ns string, f store.Freshness, match func(*corev1.Pod) bool) (bool, error) {
	c, ok := r.a.reader.Collection("", "pods")
	if !ok {
		return false, errors.New("no collection of pods")
	}
	o := store.ListOptions{Freshness: f, Filter: store.Filter{Namespace: ns, IndexName: "spec.nodeName", IndexValue: r.node}}
	l, err := c.List(r.ctx, o)
	if err != nil {
		return false, fmt.Errorf("listing pods of node %s: %w", r.node, err)
	}
	for e := range l.Entries {
		if p, ok := e.Object.(*corev1.Pod); ok && p.Spec.NodeName == r.node && match(p) {
			return true, nil
		}
	}
	return false, nil
}

func (r *relationship) get(group, resource string, key store.Key, f store.Freshness) (store.Object, error) {
	return r.a.get(r.ctx, group, resource, key, f)
}

// get returns nil without an error for what does not exist.
func (a *Node) get(ctx context.Context, group, resource string, key store.Key, f store.Freshness) (store.Object, error) {
	c, ok := a.reader.Collection(group, resource)
	if !ok {
		return nil, nil
	}
	e, err := c.Get(ctx, key, f)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s %s: %w", resource, key.Name, err)
	}
	return e.Object, nil
}

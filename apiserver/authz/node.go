package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"

	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Node lets a kubelet do what its node and the pods on it need, and nothing that
// concerns other nodes. It is about users system:node:<name> in group
// system:nodes; about others it has no opinion.
//
// What a kubelet may change in the objects it may write is NodeRestriction's matter.
type Node struct {
	reader store.Reader
	static []rule
}

var _ request.Authorizer = (*Node)(nil)

// NewNode makes the authorizer; static are rules that hold for every kubelet
// whatever its pods (bootstrap.NodeRules).
func NewNode(r store.Reader, static []rbacv1.PolicyRule) *Node {
	return &Node{reader: r, static: compile(static)}
}

// NodeName is the node that the user is the kubelet of.
func NodeName(u *request.User) (string, bool) {
	name, ok := strings.CutPrefix(u.Name, request.NodeUserPrefix)
	return name, ok && name != "" && u.In(request.GroupNodes)
}

// Authorize implements request.Authorizer.
func (a *Node) Authorize(ctx context.Context, u *request.User, i *request.Info) (request.Decision, string, error) {
	node, ok := NodeName(u)
	if !ok || !i.IsResource {
		return request.NoOpinion, "", nil
	}
	reason, err := a.refusal(ctx, node, i)
	if err != nil || reason != "" {
		return request.NoOpinion, reason, err
	}
	return request.Allow, "", nil
}

func isRead(verb string) bool { return verb == "get" || verb == "list" || verb == "watch" }

// refusal says why not; "" allows.
func (a *Node) refusal(ctx context.Context, node string, i *request.Info) (string, error) {
	switch i.Group + "/" + i.Resource {
	case "/secrets", "/configmaps":
		if !isRead(i.Verb) || i.Subresource != "" {
			return "can only read resources of this type", nil
		}
		return a.related(ctx, node, i)
	case "/persistentvolumeclaims", "/persistentvolumes", "storage.k8s.io/volumeattachments", "resource.k8s.io/resourceclaims":
		if i.Subresource == "status" && i.Resource == "persistentvolumeclaims" {
			return a.byRule(i), nil
		}
		if i.Verb != "get" || i.Subresource != "" {
			return "can only get individual resources of this type", nil
		}
		return a.related(ctx, node, i)
	case "/serviceaccounts":
		if i.Subresource == "token" && i.Verb == "create" || i.Subresource == "" && i.Verb == "get" {
			return a.related(ctx, node, i)
		}
		return "can only create tokens for individual service accounts", nil
	case "/pods":
		return a.pods(ctx, node, i)
	case "/nodes":
		if isRead(i.Verb) && i.Subresource == "" && nameOf(i) != node {
			return "node '" + node + "' can only read its own Node object", nil
		}
	case "coordination.k8s.io/leases":
		return a.lease(node, i), nil
	case "storage.k8s.io/csinodes":
		return a.own(node, i), nil
	case "resource.k8s.io/resourceslices":
		return a.slices(node, i), nil
	}
	return a.byRule(i), nil
}

// byRule asks the rules that hold for all kubelets.
func (a *Node) byRule(i *request.Info) string {
	q := newQuestion(i)
	for n := range a.static {
		if a.static[n].allows(&q) {
			return ""
		}
	}
	return "kubelets may not " + i.Verb + " " + q.combined
}

// nameOf is the one object the request is about: in its path or selected by name.
func nameOf(i *request.Info) string {
	if i.Name != "" {
		return i.Name
	}
	return selectedField(i.FieldSelector, "metadata.name")
}

// selectedField is the value that a field selector requires of path.
func selectedField(selector, path string) string {
	if selector == "" {
		return ""
	}
	s, err := fields.ParseSelector(selector)
	if err != nil {
		return ""
	}
	v, _ := s.RequiresExactMatch(path)
	return v
}

// own: objects that bear the node's name.
func (a *Node) own(node string, i *request.Info) string {
	if i.Verb == "create" && i.Name == "" {
		return a.byRule(i) // the name is in the body: NodeRestriction's matter
	}
	if nameOf(i) != node {
		return "can only access " + i.Resource + " with the same name as the requesting node"
	}
	return a.byRule(i)
}

func (a *Node) lease(node string, i *request.Info) string {
	if i.Namespace != corev1.NamespaceNodeLease {
		return "can only access leases in the " + corev1.NamespaceNodeLease + " system namespace"
	}
	return a.own(node, i)
}

func (a *Node) slices(node string, i *request.Info) string {
	switch i.Verb {
	case "list", "watch", "deletecollection":
		if selectedField(i.FieldSelector, "spec.nodeName") != node {
			return "can only list/watch/deletecollection resourceslices with nodeName field selector"
		}
	}
	return a.byRule(i)
}

func (a *Node) pods(ctx context.Context, node string, i *request.Info) (string, error) {
	if !isRead(i.Verb) || i.Subresource != "" {
		return a.byRule(i), nil
	}
	if selectedField(i.FieldSelector, "spec.nodeName") == node {
		return "", nil
	}
	name := nameOf(i)
	if name == "" {
		return "can only list/watch pods with spec.nodeName field selector", nil
	}
	o, err := a.get(ctx, "", "pods", store.Key{Namespace: i.Namespace, Name: name})
	if err != nil {
		return "", err
	}
	// A pod that is gone is no secret: the kubelet learns that it was deleted.
	if p, ok := o.(*corev1.Pod); o == nil || ok && p.Spec.NodeName == node {
		return "", nil
	}
	return noRelation(node), nil
}

func noRelation(node string) string {
	return "no relationship found between node '" + node + "' and this object"
}

// related looks for a path from the node over its pods to the object. Only a
// refusal is confirmed with a read that is as new as etcd.
func (a *Node) related(ctx context.Context, node string, i *request.Info) (string, error) {
	name := nameOf(i)
	if name == "" {
		return "No Object name found", nil
	}
	for _, f := range []store.Freshness{{Any: true}, {}} {
		ok, err := a.reaches(ctx, node, i, name, f)
		if err != nil {
			return "", err
		}
		if ok {
			return "", nil
		}
	}
	return noRelation(node), nil
}

func (a *Node) reaches(ctx context.Context, node string, i *request.Info, name string, f store.Freshness) (bool, error) {
	switch i.Resource {
	case "volumeattachments":
		o, err := a.get(ctx, i.Group, i.Resource, store.Key{Name: name})
		va, ok := o.(*storagev1.VolumeAttachment)
		return ok && va.Spec.NodeName == node, err
	case "persistentvolumes":
		o, err := a.get(ctx, "", i.Resource, store.Key{Name: name})
		pv, ok := o.(*corev1.PersistentVolume)
		if !ok || pv.Spec.ClaimRef == nil {
			return false, err
		}
		return a.anyPod(ctx, node, pv.Spec.ClaimRef.Namespace, f, func(p *corev1.Pod) bool {
			return refers(p, "persistentvolumeclaims", pv.Spec.ClaimRef.Name)
		})
	}
	ok, err := a.anyPod(ctx, node, i.Namespace, f, func(p *corev1.Pod) bool { return refers(p, i.Resource, name) })
	if ok || err != nil || i.Resource != "secrets" {
		return ok, err
	}
	// The secret of a volume may lie in another namespace than the pod.
	return a.anyPod(ctx, node, "", f, func(p *corev1.Pod) bool {
		return a.volumeSecret(ctx, p, store.Key{Namespace: i.Namespace, Name: name})
	})
}

// anyPod reports whether match holds for a pod on the node in the namespace ("": any).
func (a *Node) anyPod(ctx context.Context, node, ns string, f store.Freshness, match func(*corev1.Pod) bool) (bool, error) {
	c, ok := a.reader.Collection("", "pods")
	if !ok {
		return false, errors.New("no collection of pods")
	}
	o := store.ListOptions{Freshness: f, Filter: store.Filter{Namespace: ns, IndexName: "spec.nodeName", IndexValue: node}}
	l, err := c.List(ctx, o)
	if err != nil {
		return false, fmt.Errorf("listing pods of node %s: %w", node, err)
	}
	for e := range l.Entries {
		if p, ok := e.Object.(*corev1.Pod); ok && p.Spec.NodeName == node && match(p) {
			return true, nil
		}
	}
	return false, nil
}

// get returns nil without an error for what does not exist.
func (a *Node) get(ctx context.Context, group, resource string, key store.Key) (store.Object, error) {
	c, ok := a.reader.Collection(group, resource)
	if !ok {
		return nil, nil
	}
	e, err := c.Get(ctx, key, store.Freshness{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up %s %s: %w", resource, key.Name, err)
	}
	return e.Object, nil
}

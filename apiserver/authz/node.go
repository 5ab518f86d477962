package authz

import (
	"context"
	"strings"

	"hyperkube/apiserver/request"
	"hyperkube/store"
)

// Node lets a kubelet do what its node and the pods on it need: exactly what
// kubeletGrants lists. It is about users system:node:<name> in group system:nodes;
// about others, and about all that is not on the list, it has no opinion.
//
// What a kubelet may change in the objects it may write is NodeRestriction's matter.
type Node struct {
	reader store.Reader
	grants map[target][]grant
}

var _ request.Authorizer = (*Node)(nil)

// NewNode makes the authorizer.
func NewNode(r store.Reader) *Node {
	return &Node{reader: r, grants: byTarget(kubeletGrants())}
}

// NodeName is the node that the user is the kubelet of.
func NodeName(u *request.User) (string, bool) {
	name, ok := strings.CutPrefix(u.Name, request.NodeUserPrefix)
	return name, ok && name != "" && u.In(request.GroupNodes)
}

// IsNode reports whether the user claims to be a kubelet, also one whose node
// cannot be told from its name: such a one is held to a kubelet's limits as well.
func IsNode(u *request.User) bool {
	return strings.HasPrefix(u.Name, request.NodeUserPrefix) && u.In(request.GroupNodes)
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

// refusal says why not; "" allows.
func (a *Node) refusal(ctx context.Context, node string, i *request.Info) (string, error) {
	bit := verbBit(i.Verb)
	for _, g := range a.grants[targetOf(i)] {
		// A verb that is none of the API's has no bit and is on no list.
		if g.verbs&bit == 0 || bit == anyVerb {
			continue
		}
		return g.when(&relationship{a: a, ctx: ctx, node: node, Info: i, name: nameOf(i)})
	}
	return "kubelets may not " + i.Verb + " " + newQuestion(i).combined, nil
}

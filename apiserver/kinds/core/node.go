package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func nodes() *kind.Kind {
	return kind.New(kind.Spec[*corev1.Node]{
		Names:    names("Node", "nodes", "node", false, "no"),
		Prefix:   "minions",
		New:      func() *corev1.Node { return &corev1.Node{} },
		Warnings: warnings.Node,
		NewList:  func() runtime.Object { return &corev1.NodeList{} },
		Default:  rules.DefaultNode,
		// A kubelet registers with its status; nothing is reset on create.
		PrepareUpdate:  reset(func(n, old *corev1.Node) { n.Status = old.Status }),
		Validate:       rules.ValidateNode,
		ValidateUpdate: rules.ValidateNodeUpdate,
		Fields: []kind.Field[*corev1.Node]{
			{Path: "spec.unschedulable", Value: func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) }},
		},
		Columns: rules.NodeColumns(),
		Row:     rules.NodeRow,
		Status: &kind.SubRules[*corev1.Node]{
			Prepare:  reset(func(n, old *corev1.Node) { n.Spec = old.Spec }),
			Validate: rules.ValidateNodeStatusUpdate,
		},
		Subresources: []kind.Subresource{nodeProxy()},
	})
}

// nodeProxy leads to the kubelet, whose upgraded connections are exec, attach and
// port-forward of any pod of the node.
func nodeProxy() kind.Subresource {
	s := connect("proxy", "NodeProxyOptions", "create", "delete", "get", "patch", "update")
	s.UpgradeNeeds = "create"
	return s
}

// Package kinds is the one list of the kinds this server serves. Everything that
// needs to know which kinds exist (routing, storage, discovery, OpenAPI, apply,
// admission) walks it; adding a kind is one file in its group's folder and one
// line in that folder's Kinds.
package kinds

import (
	"slices"

	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds/apiextensions"
	"hyperkube/apiserver/kinds/apps"
	"hyperkube/apiserver/kinds/authentication"
	"hyperkube/apiserver/kinds/authorization"
	"hyperkube/apiserver/kinds/autoscaling"
	"hyperkube/apiserver/kinds/batch"
	"hyperkube/apiserver/kinds/certificates"
	"hyperkube/apiserver/kinds/coordination"
	"hyperkube/apiserver/kinds/core"
	"hyperkube/apiserver/kinds/discovery"
	"hyperkube/apiserver/kinds/events"
	"hyperkube/apiserver/kinds/flowcontrol"
	"hyperkube/apiserver/kinds/networking"
	"hyperkube/apiserver/kinds/node"
	"hyperkube/apiserver/kinds/policy"
	"hyperkube/apiserver/kinds/rbac"
	"hyperkube/apiserver/kinds/resource"
	"hyperkube/apiserver/kinds/scheduling"
	"hyperkube/apiserver/kinds/storage"
)

// All kinds. The order of groups is that of discovery and matters to users: of
// two groups with a resource of the same name, the first one is what a bare
// `kubectl get <name>` means (events of core before events.k8s.io).
func All() []*kind.Kind {
	return slices.Concat(
		core.Kinds(events.Version()),
		apps.Kinds(),
		authentication.Kinds(),
		authorization.Kinds(),
		autoscaling.Kinds(),
		batch.Kinds(),
		certificates.Kinds(),
		networking.Kinds(),
		policy.Kinds(),
		rbac.Kinds(),
		storage.Kinds(),
		apiextensions.Kinds(),
		scheduling.Kinds(),
		coordination.Kinds(),
		node.Kinds(),
		discovery.Kinds(),
		flowcontrol.Kinds(),
		resource.Kinds(),
	)
}

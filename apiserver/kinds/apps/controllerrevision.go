package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/apps"
	"hyperkube/apiserver/kind"
)

func controllerRevision() *kind.Kind {
	n := names("ControllerRevision", "controllerrevisions", "controllerrevision")
	n.Categories = nil
	return kind.New(kind.Spec[*appsv1.ControllerRevision]{
		Names:          n,
		New:            func() *appsv1.ControllerRevision { return &appsv1.ControllerRevision{} },
		NewList:        func() runtime.Object { return &appsv1.ControllerRevisionList{} },
		Validate:       rules.ValidateControllerRevision,
		ValidateUpdate: rules.ValidateControllerRevisionUpdate,
		Columns:        rules.ControllerRevisionColumns(),
		Row:            rules.ControllerRevisionRow,
	})
}

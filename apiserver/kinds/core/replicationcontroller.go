package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func replicationControllers() *kind.Kind {
	n := names("ReplicationController", "replicationcontrollers", "replicationcontroller", true, "rc")
	n.Categories = []string{"all"}
	return kind.New(kind.Spec[*corev1.ReplicationController]{
		Names:   n,
		Prefix:  "controllers",
		New:     func() *corev1.ReplicationController { return &corev1.ReplicationController{} },
		NewList: func() runtime.Object { return &corev1.ReplicationControllerList{} },
		Default: rules.DefaultReplicationController,
		PrepareCreate: fresh(func(rc *corev1.ReplicationController) {
			rc.Status = corev1.ReplicationControllerStatus{}
			if rc.Spec.Template != nil {
				rules.DropGatedTemplate(rc.Spec.Template, nil)
			}
		}),
		PrepareUpdate: reset(func(rc, old *corev1.ReplicationController) {
			rc.Status = old.Status
			if rc.Spec.Template != nil {
				rules.DropGatedTemplate(rc.Spec.Template, old.Spec.Template)
			}
		}),
		Generation: rules.ControllerChanged,
		Validate:   rules.ValidateReplicationController,
		Warnings:   warnings.ReplicationController,
		Fields: []kind.Field[*corev1.ReplicationController]{
			{Path: "status.replicas", Value: func(rc *corev1.ReplicationController) string { return strconv.Itoa(int(rc.Status.Replicas)) }},
		},
		Columns: rules.ReplicationControllerColumns(),
		Row:     rules.ReplicationControllerRow,
		Status: &kind.SubRules[*corev1.ReplicationController]{
			Prepare:  reset(func(rc, old *corev1.ReplicationController) { rc.Spec = old.Spec }),
			Validate: rules.ValidateReplicationControllerStatus,
		},
		Scale: &kind.ScaleRules[*corev1.ReplicationController]{
			Get: rules.ControllerScale,
			Set: func(rc *corev1.ReplicationController, n int32) { rc.Spec.Replicas = &n },
		},
	})
}

package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func services() *kind.Kind {
	n := names("Service", "services", "service", true, "svc")
	n.Categories = []string{"all"}
	return kind.New(kind.Spec[*corev1.Service]{
		Names:          n,
		Prefix:         "services/specs",
		ReturnDeleted:  true,
		New:            func() *corev1.Service { return &corev1.Service{} },
		Warnings:       warnings.Service,
		NewList:        func() runtime.Object { return &corev1.ServiceList{} },
		Default:        rules.DefaultService,
		PrepareCreate:  fresh(func(s *corev1.Service) { s.Status = corev1.ServiceStatus{} }),
		PrepareUpdate:  reset(rules.PrepareServiceUpdate),
		Validate:       rules.ValidateService,
		ValidateUpdate: rules.ValidateServiceUpdate,
		ValidateName:   serviceName,
		Fields: []kind.Field[*corev1.Service]{
			{Path: "spec.clusterIP", Value: func(s *corev1.Service) string { return s.Spec.ClusterIP }},
			{Path: "spec.type", Value: func(s *corev1.Service) string { return string(s.Spec.Type) }},
		},
		Columns: rules.ServiceColumns(),
		Row:     rules.ServiceRow,
		Hooks:   serviceHooks(),
		Status: &kind.SubRules[*corev1.Service]{
			Prepare: reset(func(s, old *corev1.Service) {
				s.Spec = old.Spec
				rules.DefaultService(s) // defaults of a status depend on the spec, which a client may leave out
			}),
			Validate: rules.ValidateServiceStatusUpdate,
		},
		Subresources: []kind.Subresource{connect("proxy", "ServiceProxyOptions", "create", "delete", "get", "patch", "update")},
	})
}

// serviceName: names become DNS labels.
func serviceName(name string, prefix bool) []string { return kind.DNSLabel(name, prefix) }

package core

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	rules "hyperkube/api/core"
	"hyperkube/api/warnings"
	"hyperkube/apiserver/kind"
)

func pods() *kind.Kind {
	n := names("Pod", "pods", "pod", true, "po")
	n.Categories = []string{"all"}
	return kind.New(kind.Spec[*corev1.Pod]{
		Names:          n,
		ReturnDeleted:  true,
		New:            func() *corev1.Pod { return &corev1.Pod{} },
		NewList:        func() runtime.Object { return &corev1.PodList{} },
		Default:        rules.DefaultPod,
		PrepareCreate:  fresh(rules.PreparePod),
		PrepareUpdate:  reset(rules.PreparePodUpdate),
		Generation:     rules.PodSpecChanged,
		Validate:       rules.ValidatePod,
		ValidateUpdate: rules.ValidatePodUpdate,
		Warnings:       warnings.Pod,
		Fields:         podFields(),
		Columns:        rules.PodColumns(),
		Row:            rules.PodRow,
		GracefulDelete: gracefulPod,
		Status:         &kind.SubRules[*corev1.Pod]{Prepare: reset(rules.PreparePodStatus), Validate: rules.ValidatePodStatusUpdate},
		Subresources: []kind.Subresource{
			connectAs("attach", "PodAttachOptions", "create", "get"),
			{Name: "binding", GVK: gvk("Binding"), New: newBinding, Create: createBinding},
			{Name: "ephemeralcontainers", GVK: gvk("Pod"), Rules: kind.RulesOf(kind.SubRules[*corev1.Pod]{
				Prepare: reset(rules.PreparePodEphemeral), Validate: rules.ValidatePodEphemeralUpdate})},
			{Name: "eviction", GVK: schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"},
				New: func() runtime.Object { return &policyv1.Eviction{} }, Create: evict},
			connectAs("exec", "PodExecOptions", "create", "get"),
			connect("log", "Pod", "get"),
			connectAs("portforward", "PodPortForwardOptions", "create", "get"),
			connect("proxy", "PodProxyOptions", "create", "delete", "get", "patch", "update"),
			{Name: "resize", GVK: gvk("Pod"), Rules: kind.RulesOf(kind.SubRules[*corev1.Pod]{
				Prepare: reset(rules.PreparePodResize), Validate: rules.ValidatePodResize})},
		},
	})
}

func podFields() []kind.Field[*corev1.Pod] {
	return []kind.Field[*corev1.Pod]{
		{Path: "spec.nodeName", Value: func(p *corev1.Pod) string { return p.Spec.NodeName }, Indexed: true},
		{Path: "spec.restartPolicy", Value: func(p *corev1.Pod) string { return string(p.Spec.RestartPolicy) }},
		{Path: "spec.schedulerName", Value: func(p *corev1.Pod) string { return p.Spec.SchedulerName }},
		{Path: "spec.serviceAccountName", Value: func(p *corev1.Pod) string { return p.Spec.ServiceAccountName }},
		{Path: "spec.hostNetwork", Value: func(p *corev1.Pod) string { return strconv.FormatBool(p.Spec.HostNetwork) }},
		{Path: "status.phase", Value: func(p *corev1.Pod) string { return string(p.Status.Phase) }},
		{Path: "status.podIP", Value: podIP},
		{Path: "status.nominatedNodeName", Value: func(p *corev1.Pod) string { return p.Status.NominatedNodeName }},
	}
}

func podIP(p *corev1.Pod) string {
	if len(p.Status.PodIPs) > 0 {
		return p.Status.PodIPs[0].IP
	}
	return p.Status.PodIP
}

// gracefulPod settles the grace period; a pod that nothing runs goes at once.
func gracefulPod(_ context.Context, p *corev1.Pod, o *metav1.DeleteOptions) bool {
	grace := rules.PodGrace(p, o.GracePeriodSeconds)
	o.GracePeriodSeconds = &grace
	return grace > 0
}

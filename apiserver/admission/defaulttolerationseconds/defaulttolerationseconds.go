// Package defaulttolerationseconds lets pods stay five minutes on a node that is
// not ready or out of reach, unless they say something else.
package defaulttolerationseconds

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"hyperkube/apiserver/admission"
)

// Seconds of both tolerations by default.
const Seconds int64 = 300

// Plugin is DefaultTolerationSeconds.
type Plugin struct{ notReady, unreachable int64 }

var _ admission.Mutator = Plugin{}

// New takes the seconds of --default-not-ready-toleration-seconds and
// --default-unreachable-toleration-seconds.
func New(notReady, unreachable int64) Plugin { return Plugin{notReady, unreachable} }

// Name as flags know it.
func (Plugin) Name() string { return "DefaultTolerationSeconds" }

// Handles written pods.
func (Plugin) Handles(a *admission.Attributes) bool {
	return a.Is("", "pods") && (a.Operation == admission.Create || a.Operation == admission.Update)
}

// Admit adds what is missing.
func (p Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	add(pod, corev1.TaintNodeNotReady, p.notReady)
	add(pod, corev1.TaintNodeUnreachable, p.unreachable)
	return nil
}

func add(pod *corev1.Pod, key string, seconds int64) {
	for _, t := range pod.Spec.Tolerations {
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return
		}
	}
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
		Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
	})
}

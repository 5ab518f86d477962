package core

import corev1 "k8s.io/api/core/v1"

// PodReady tells whether the pod counts as serving.
func PodReady(p *corev1.Pod) bool { return podCondition(p, corev1.PodReady) == corev1.ConditionTrue }

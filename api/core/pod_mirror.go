package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateMirrorKept judges the mark of a mirror pod, by which a kubelet tells what it runs from what only shows it: a
// pod is made with it or without it, and stays so.
func validateMirrorKept(p, old *corev1.Pod) field.ErrorList {
	is, has := p.Annotations[corev1.MirrorPodAnnotationKey]
	was, had := old.Annotations[corev1.MirrorPodAnnotationKey]
	path := field.NewPath("metadata", "annotations").Key(corev1.MirrorPodAnnotationKey)
	switch {
	case has == had && is == was:
		return nil
	case !had:
		return field.ErrorList{field.Forbidden(path, "may not add mirror pod annotation")}
	}
	return field.ErrorList{field.Forbidden(path, "may not remove or update mirror pod annotation")}
}

package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestMirrorKept: no change of a pod or its status makes it a mirror, or another one, or none.
func TestMirrorKept(t *testing.T) {
	pod := func(mirror string) *corev1.Pod {
		p := typicalPod()
		if mirror != "" {
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: mirror}
		}
		return p
	}
	const path = "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: "
	for name, c := range map[string]struct{ was, is, want string }{
		"plain":   {"", "", ""},
		"kept":    {"a", "a", ""},
		"added":   {"", "a", path + "may not add mirror pod annotation"},
		"changed": {"a", "b", path + "may not remove or update mirror pod annotation"},
		"removed": {"a", "", path + "may not remove or update mirror pod annotation"},
	} {
		for verb, errs := range map[string]error{
			"update": ValidatePodUpdate(pod(c.is), pod(c.was)).ToAggregate(), "status": ValidatePodStatusUpdate(pod(c.is), pod(c.was)).ToAggregate(),
		} {
			if got := ""; errs != nil {
				got = errs.Error()
				if got != c.want {
					t.Errorf("%s, %s: %s", name, verb, got)
				}
			} else if c.want != "" {
				t.Errorf("%s, %s: allowed", name, verb)
			}
		}
	}
}

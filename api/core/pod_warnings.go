package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// PodReady tells whether the pod counts as serving.
func PodReady(p *corev1.Pod) bool { return podCondition(p, corev1.PodReady) == corev1.ConditionTrue }

// PodWarnings are what a client should know of a pod that is valid all the same.
func PodWarnings(p, old *corev1.Pod) []string {
	if old != nil && !PodSpecChanged(p, old) {
		return nil
	}
	return PodSpecWarnings(&p.Spec, "spec")
}

// PodSpecWarnings are the same for a spec at path, also inside templates.
func PodSpecWarnings(s *corev1.PodSpec, path string) (out []string) {
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		out = append(out, path+".terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
	}
	for i, r := range s.ImagePullSecrets {
		if r.Name == "" {
			out = append(out, fmt.Sprintf("%s.imagePullSecrets[%d].name: invalid empty name %q", path, i, r.Name))
		}
	}
	for i, a := range s.HostAliases {
		for j := range s.HostAliases[:i] {
			if s.HostAliases[j].IP == a.IP {
				out = append(out, fmt.Sprintf("%s.hostAliases[%d].ip: duplicates alias for IP %q", path, i, a.IP))
				break
			}
		}
	}
	out = append(out, envWarnings(s.InitContainers, path+".initContainers")...)
	return append(out, envWarnings(s.Containers, path+".containers")...)
}

// envWarnings: a variable that is set twice hides the first value.
func envWarnings(cs []corev1.Container, path string) (out []string) {
	for i := range cs {
		env := cs[i].Env
		if len(env) < 2 {
			continue
		}
		seen := make(map[string]bool, len(env))
		for j := range env {
			if seen[env[j].Name] {
				out = append(out, fmt.Sprintf("%s[%d].env[%d]: hides previous definition of %q, which may be dropped when using apply", path, i, j, env[j].Name))
			}
			seen[env[j].Name] = true
		}
	}
	return out
}

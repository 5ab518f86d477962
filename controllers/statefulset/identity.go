package statefulset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/controllers/podctl"
)

// podOf is the pod of an ordinal, made from a revision's template.
func podOf(s *appsv1.StatefulSet, t *corev1.PodTemplateSpec, revision string, ordinal int) *corev1.Pod {
	p := podctl.FromTemplate(t, s, gvk)
	p.GenerateName, p.Name = "", fmt.Sprintf("%s-%d", s.Name, ordinal)
	p.Labels = maps.Clone(p.Labels)
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, s.Spec.ServiceName
	identify(s, p)
	metav1.SetMetaDataLabel(&p.ObjectMeta, appsv1.ControllerRevisionHashLabelKey, revision)
	for i := range s.Spec.VolumeClaimTemplates {
		c := &s.Spec.VolumeClaimTemplates[i]
		v := corev1.Volume{Name: c.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(s, c, ordinal)}}}
		at := slices.IndexFunc(p.Spec.Volumes, func(have corev1.Volume) bool { return have.Name == c.Name })
		if at >= 0 {
			p.Spec.Volumes[at] = v
		} else {
			p.Spec.Volumes = append(p.Spec.Volumes, v)
		}
	}
	return p
}

// identify gives a pod the labels by which it is found.
func identify(s *appsv1.StatefulSet, p *corev1.Pod) {
	metav1.SetMetaDataLabel(&p.ObjectMeta, appsv1.StatefulSetPodNameLabel, p.Name)
	metav1.SetMetaDataLabel(&p.ObjectMeta, appsv1.PodIndexLabel, strconv.Itoa(ordinalOf(s, p)))
}

// sound reports whether a pod still has its identity.
func sound(s *appsv1.StatefulSet, p *corev1.Pod) bool {
	return p.Labels[appsv1.StatefulSetPodNameLabel] == p.Name && p.Labels[appsv1.PodIndexLabel] == strconv.Itoa(ordinalOf(s, p))
}

func claimName(s *appsv1.StatefulSet, c *corev1.PersistentVolumeClaim, ordinal int) string {
	return fmt.Sprintf("%s-%s-%d", c.Name, s.Name, ordinal)
}

// claimsOf are the volume claims of an ordinal. They outlive the pod and the set.
func claimsOf(s *appsv1.StatefulSet, ordinal int) []*corev1.PersistentVolumeClaim {
	var out []*corev1.PersistentVolumeClaim
	for i := range s.Spec.VolumeClaimTemplates {
		c := s.Spec.VolumeClaimTemplates[i].DeepCopy()
		c.Name, c.Namespace = claimName(s, c, ordinal), s.Namespace
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		maps.Copy(c.Labels, s.Spec.Selector.MatchLabels)
		c.Status = corev1.PersistentVolumeClaimStatus{}
		out = append(out, c)
	}
	return out
}

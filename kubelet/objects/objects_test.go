package objects

import (
	"fmt"
	"maps"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/internal/bounds"
)

// TestReferencesAreBounded: one pod does not make the node watch as many objects as it can name, and always the same.
func TestReferencesAreBounded(t *testing.T) {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}, Spec: v1.PodSpec{Containers: []v1.Container{{}}}}
	c := &pod.Spec.Containers[0]
	for i := range 20_000 {
		c.EnvFrom = append(c.EnvFrom, v1.EnvFromSource{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: fmt.Sprint("c", i)}}})
	}
	pod.Spec.Volumes = []v1.Volume{{VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "s"}}}}
	first := wanted(pod)
	if len(first) != bounds.References || !first[Key{Secret, "ns", "s"}] || !maps.Equal(first, wanted(pod)) {
		t.Errorf("%d references", len(first))
	}
	c.EnvFrom = c.EnvFrom[:10]
	if got := wanted(pod); len(got) != 11 {
		t.Errorf("%d references", len(got))
	}
}

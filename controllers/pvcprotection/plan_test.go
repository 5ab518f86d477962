package pvcprotection

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFinalizersFollowUse(t *testing.T) {
	gone := &metav1.Time{Time: time.Unix(1, 0)}
	for _, x := range []struct {
		name    string
		deleted *metav1.Time
		have    []string
		used    bool
		want    []string
		changed bool
	}{
		{"new", nil, []string{"x"}, false, []string{"x", claimFinalizer}, true},
		{"protected", nil, []string{claimFinalizer}, true, nil, false},
		{"deleted and used", gone, []string{claimFinalizer}, true, nil, false},
		{"deleted and free", gone, []string{"x", claimFinalizer}, false, []string{"x"}, true},
		{"deleted, never protected", gone, []string{"x"}, false, nil, false},
	} {
		before := slices.Clone(x.have)
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: x.deleted, Finalizers: x.have}}
		got, changed := plan(c, claimFinalizer, x.used)
		if !cmp.Equal(got, x.want) || changed != x.changed {
			t.Errorf("%s: %v, %t; want %v, %t", x.name, got, changed, x.want, x.changed)
		}
		if !cmp.Equal(c.Finalizers, before) {
			t.Errorf("%s: the shared object was changed", x.name)
		}
	}
}

func TestWhoUsesAClaim(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{
		{Name: "a", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}},
		{Name: "b", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		{Name: "e", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}}}
	if got := claimsOf(p); !cmp.Equal(got, []string{"n/c", "n/p-b"}) {
		t.Errorf("claims %v", got)
	}
	if uses(p) {
		t.Error("a pod without a node uses nothing yet")
	}
	p.Spec.NodeName = "x"
	if !uses(p) {
		t.Error("a pod on a node uses its claims")
	}
	p.Status.Phase = corev1.PodFailed
	if uses(p) {
		t.Error("a pod that ended uses nothing")
	}
}

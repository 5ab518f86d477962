package revisions

import (
	"math"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestTemplatesComeBack: what a revision keeps is the template it was made from, numbers of any size included.
func TestTemplatesComeBack(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64} {
		in := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &n, Tolerations: []corev1.Toleration{{TolerationSeconds: &n}}}}
		data, err := Patch(in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Template(&appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: data}})
		if err != nil || !equality.Semantic.DeepEqual(in, out) {
			t.Errorf("%d comes back as %+v, %v", n, out, err)
		}
		if match, _ := choose(data, []*appsv1.ControllerRevision{{Data: runtime.RawExtension{Raw: data}}}); match == nil {
			t.Errorf("%d is not found again", n)
		}
	}
}

package limitranger_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/limitranger"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
)

// A refusal of a pod with very many containers stays short, and takes no longer
// than the pod is long.
func TestRefusalsAreBounded(t *testing.T) {
	s := storetest.New("limitranges")
	s.Put("limitranges", &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{"cpu": resource.MustParse("1")}}}}})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}}
	const containers = 200_000
	for i := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i)})
	}
	a := &admission.Attributes{Object: pod, Operation: admission.Create, User: &request.User{}, Info: &request.Info{Resource: "pods", Namespace: "a"}}
	err := limitranger.New(s).Validate(t.Context(), a)
	if err == nil || len(err.Error()) > 10_000 || !strings.Contains(err.Error(), "and 199900 more]") {
		t.Errorf("%.200s", err)
	}
}

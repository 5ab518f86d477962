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

// TestPodLevelResources: what a pod says for all its containers together is its total, not what they say.
func TestPodLevelResources(t *testing.T) {
	s := storetest.New("limitranges")
	s.Put("limitranges", &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypePod, Max: corev1.ResourceList{"cpu": resource.MustParse("200m")}}}}})
	cpu := func(q string) corev1.ResourceList { return corev1.ResourceList{"cpu": resource.MustParse(q)} }
	for name, c := range map[string]struct {
		container, pod corev1.ResourceList
		ok             bool
	}{
		"containers within":            {cpu("100m"), nil, true},
		"containers beyond":            {cpu("300m"), nil, false},
		"pod beyond":                   {cpu("100m"), cpu("2"), false},
		"pod alone, within":            {nil, cpu("100m"), true},
		"pod alone, beyond":            {nil, cpu("300m"), false},
		"nobody says, so it is open":   {nil, nil, false},
		"pod within, containers as is": {cpu("100m"), cpu("150m"), true},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}}
		pod.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Limits: c.container}}}
		if c.pod != nil {
			pod.Spec.Resources = &corev1.ResourceRequirements{Limits: c.pod}
		}
		for _, at := range []admission.Attributes{{Operation: admission.Create}, {Operation: admission.Update, Subresource: "resize"}} {
			at.Object, at.User, at.Info = pod, &request.User{}, &request.Info{Resource: "pods", Namespace: "a", Subresource: at.Subresource}
			if err := limitranger.New(s).Validate(t.Context(), &at); (err == nil) != c.ok {
				t.Errorf("%s, %s %s: %v", name, at.Operation, at.Subresource, err)
			}
		}
	}
}

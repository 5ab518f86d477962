package verbs

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func envs(prefix string, n int) []corev1.EnvVar {
	all := make([]corev1.EnvVar, n)
	for i := range all {
		all[i] = corev1.EnvVar{Name: fmt.Sprint(prefix, i), Value: "v"}
	}
	return all
}

func texts(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(prefix, i)
	}
	return all
}

func withEnv(n int) *appsv1.Deployment {
	d := &appsv1.Deployment{}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Env: envs("a", n)}}
	return d
}

// TestMergeWorkIsBounded: a patch that would take for ever is refused at once, wherever its
// lists are; those that people send are not.
func TestMergeWorkIsBounded(t *testing.T) {
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Finalizers: texts("a", 20_000)}}
	owned := &corev1.ConfigMap{}
	for i := range 10_000 {
		owned.OwnerReferences = append(owned.OwnerReferences, metav1.OwnerReference{UID: "u"}, metav1.OwnerReference{})
		owned.OwnerReferences[i].UID = "v"
	}
	metadata := func(key string, v any) any { return map[string]any{"metadata": map[string]any{key: v}} }
	template := func(containers ...any) any {
		return map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}}}
	}
	container := func(fields ...any) map[string]any {
		c := map[string]any{"name": "c"}
		for i := 0; i < len(fields); i += 2 {
			c[fields[i].(string)] = fields[i+1]
		}
		return c
	}
	var again []any
	for i := range 100 {
		again = append(again, container("env", envs(fmt.Sprint("b", i, "-"), 200)))
	}
	for name, c := range map[string]struct {
		live    runtime.Object
		patch   any
		refused bool
	}{
		"scalars":                {held, metadata("finalizers", []string{"x"}), true},
		"scalars to remove":      {held, metadata("$deleteFromPrimitiveList/finalizers", []string{"x"}), true},
		"order":                  {held, metadata("$setElementOrder/finalizers", []string{"x"}), true},
		"objects":                {owned, metadata("ownerReferences", []any{map[string]any{"uid": "x"}}), true},
		"objects to remove":      {owned, metadata("ownerReferences", []any{map[string]any{"uid": "x", "$patch": "delete"}}), true},
		"below":                  {withEnv(3000), template(container("env", envs("b", 3000))), true},
		"one after the other":    {withEnv(10), template(again...), true},
		"replaced":               {held, metadata("finalizers", nil), false},
		"another field":          {held, metadata("labels", map[string]string{"a": "b"}), false},
		"new":                    {&corev1.ConfigMap{}, metadata("finalizers", texts("b", 20_000)), false},
		"all of a big container": {withEnv(1500), template(container("env", envs("a", 1500), "$setElementOrder/env", envs("a", 1500))), false},
		"atomic":                 {withEnv(1), template(container("args", texts("b", 20_000))), false},
	} {
		body, err := json.Marshal(c.patch)
		if err != nil {
			t.Fatal(err)
		}
		want := "ConfigMap"
		blank := func() runtime.Object { return &corev1.ConfigMap{} }
		gv := corev1.SchemeGroupVersion
		if _, ok := c.live.(*appsv1.Deployment); ok {
			want, gv, blank = "Deployment", appsv1.SchemeGroupVersion, func() runtime.Object { return &appsv1.Deployment{} }
		}
		p := patcher{body: body, want: gv.WithKind(want), blank: blank}
		done := make(chan error, 1)
		go func() {
			_, err := p.strategic(c.live, blank())
			done <- err
		}()
		select {
		case err = <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s: takes longer than a minute", name)
		}
		if c.refused != apierrors.IsRequestEntityTooLargeError(err) || !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.refused && err != nil && !strings.Contains(err.Error(), "another type of patch") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package verbs

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"pgregory.net/rapid"
)

// TestStrategicPartsAgree patches in parts and, by the library alone, whole.
func TestStrategicPartsAgree(t *testing.T) {
	fragments := map[string][]string{
		"metadata": {`{"labels":{"a":null,"b":"2"}}`, `{"finalizers":["x/y"]}`, `{"$patch":"replace","name":"p"}`, `{"annotations":null}`},
		"spec": {`{"containers":[{"name":"c","image":"other"}]}`, `{"containers":[{"name":"c","$patch":"delete"},{"name":"d","image":"i"}]}`,
			`{"nodeName":"n"}`, `{"tolerations":[{"key":"k"}]}`, `{"$retainKeys":["containers"],"containers":[{"name":"c"}]}`},
		"status":     {`{"phase":"Running"}`, `{"conditions":[{"type":"Ready","status":"False"}]}`, `{"podIPs":[{"ip":"1.2.3.4"}]}`, `null`},
		"kind":       {`"Pod"`},
		"apiVersion": {`"v1"`},
	}
	want := corev1.SchemeGroupVersion.WithKind("Pod")
	rapid.Check(t, func(t *rapid.T) {
		patch := map[string]json.RawMessage{}
		for field, options := range fragments {
			if i := rapid.IntRange(-1, len(options)-1).Draw(t, field); i >= 0 {
				patch[field] = json.RawMessage(options[i])
			}
		}
		body, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		live := &corev1.Pod{}
		live.Name, live.Labels, live.Annotations = "p", map[string]string{"a": "1"}, map[string]string{"x": "y"}
		live.Spec.Containers = []corev1.Container{{Name: "c", Image: "i", Args: []string{"1"}}}
		live.Status.Conditions = []corev1.PodCondition{{Type: "Ready", Status: "True"}, {Type: "Other", Status: "True"}}
		before := live.DeepCopy()
		p := patcher{kind: types.StrategicMergePatchType, body: body, want: want, blank: func() runtime.Object { return &corev1.Pod{} }}
		got, _, err := p.patched(live, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, live); d != "" {
			t.Fatal("the live object was changed", d)
		}
		if d := cmp.Diff(whole(live, body), got); d != "" {
			t.Fatal(string(body), d)
		}
	})
}

// whole is the obvious way.
func whole(live *corev1.Pod, body []byte) runtime.Object {
	before, err := json.Marshal(live)
	if err != nil {
		panic(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, body, &corev1.Pod{})
	if err != nil {
		panic(fmt.Sprintf("%s: %v", body, err))
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(after, out); err != nil {
		panic(err)
	}
	out.TypeMeta.Kind, out.TypeMeta.APIVersion = "", ""
	return out
}

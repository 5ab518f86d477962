package authz_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"hyperkube/apiserver/authz"
	"hyperkube/store"
)

// TestNode runs the scenarios of testdata/node: "objects" stores pods, claims and
// volumes; "can" is as in TestRBAC.
func TestNode(t *testing.T) {
	datadriven.Walk(t, "testdata/node", func(t *testing.T, path string) {
		s := rbacStore()
		a := authz.NewNode(s)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "can" {
				return ask(t, a, d)
			}
			for doc := range strings.SplitSeq(d.Input, "---\n") {
				var m metav1.TypeMeta
				if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
					t.Fatal(err)
				}
				o := map[string]store.Object{"Pod": &corev1.Pod{}, "PersistentVolume": &corev1.PersistentVolume{}, "PersistentVolumeClaim": &corev1.PersistentVolumeClaim{}}[m.Kind]
				if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
					t.Fatal(err)
				}
				s.Put(strings.ToLower(m.Kind)+"s", o)
			}
			return ""
		})
	})
}

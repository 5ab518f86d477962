package quota

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// The files under testdata measure objects:
//
//	usage resource=pods           rows of objects; what each uses
//	covers scope=X [op= values=]  rows of pods (resource=persistentvolumeclaims: claims); does the scope take it
//	missing hard=a,b              rows of pods; what of the limits their containers leave open
//	counted hard=a,b              which resources are counted for these limits
//	total hard=a,b [scope=X]      rows of pods; the sum of those that the quota covers
func TestQuota(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			gr := schema.GroupResource{Resource: "pods"}
			var name, group, scope, op string
			var hard, values []string
			d.MaybeScanArgs(t, "resource", &name)
			d.MaybeScanArgs(t, "group", &group)
			d.MaybeScanArgs(t, "scope", &scope)
			d.MaybeScanArgs(t, "op", &op)
			for _, a := range d.CmdArgs {
				switch a.Key {
				case "hard":
					hard = a.Vals
				case "values":
					values = a.Vals
				}
			}
			if name != "" {
				gr = schema.GroupResource{Group: group, Resource: name}
			}
			var objects []metav1.Object
			for row := range strings.Lines(d.Input) {
				objects = append(objects, object(t, d, gr, row))
			}
			q := &corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Hard: limits(hard)}}
			switch {
			case op != "":
				q.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{
					ScopeName: corev1.ResourceQuotaScope(scope), Operator: corev1.ScopeSelectorOperator(op), Values: values}}}
			case scope != "":
				q.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScope(scope)}
			}
			return answer(t, d, q, gr, objects)
		})
	})
}

func answer(t *testing.T, d *datadriven.TestData, q *corev1.ResourceQuota, gr schema.GroupResource, objects []metav1.Object) string {
	var out []string
	for _, o := range objects {
		switch d.Cmd {
		case "usage":
			out = append(out, text(Usage(gr, o)))
		case "covers":
			out = append(out, fmt.Sprint(Covers(q, o)))
		case "missing":
			out = append(out, strings.Join(append(Unspecified(o.(*corev1.Pod), q.Spec.Hard), "."), "; "))
		}
	}
	switch d.Cmd {
	case "counted":
		for _, r := range Resources(q.Spec.Hard) {
			out = append(out, r.String())
		}
	case "total":
		sum, err := Total(q, func(schema.GroupResource) ([]metav1.Object, error) { return objects, nil })
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		out = append(out, text(sum))
	}
	return strings.Join(out, "\n") + "\n"
}

func object(t *testing.T, d *datadriven.TestData, gr schema.GroupResource, row string) metav1.Object {
	var o metav1.Object = &metav1.ObjectMeta{}
	switch gr.String() {
	case "pods":
		o = &corev1.Pod{}
	case "services":
		o = &corev1.Service{}
	case "persistentvolumeclaims":
		o = &corev1.PersistentVolumeClaim{}
	}
	if err := yaml.UnmarshalStrict([]byte(row), o); err != nil {
		d.Fatalf(t, "%s: %v", row, err)
	}
	return o
}

func limits(names []string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for _, n := range names {
		l[corev1.ResourceName(n)] = resource.MustParse("10")
	}
	return l
}

func text(l corev1.ResourceList) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		q := l[name]
		out = append(out, string(name)+"="+q.String())
	}
	return strings.Join(out, " ")
}

package namespace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestConditionsTellWhyANamespaceStays(t *testing.T) {
	grace := int64(30)
	o := newOutcome()
	if !o.done() {
		t.Error("an empty namespace is not done")
	}
	clean := o.conditions(time.Unix(1, 0))
	o.count(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, []metav1.PartialObjectMetadata{
		{ObjectMeta: metav1.ObjectMeta{DeletionGracePeriodSeconds: &grace}}, {ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"x/y"}}}})
	o.count(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, make([]metav1.PartialObjectMetadata, 1))
	o.count(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, nil)
	o.failed = []error{errors.New("no"), errors.New("ah")}
	o.discovery = errors.New("group x does not answer")
	if o.done() || o.wait != 30*time.Second {
		t.Errorf("done %t, wait %s", o.done(), o.wait)
	}
	want := `NamespaceDeletionDiscoveryFailure True DiscoveryFailed: group x does not answer
NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed
NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 2 remaining: ah, no
NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods has 2 resource instances
NamespaceFinalizersRemaining True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: x/y in 1 resource instances
`
	merged, changed := mergeConditions(clean, o.conditions(time.Unix(2, 0)))
	if got := show(merged); got != want || !changed {
		t.Errorf("changed %t, conditions:\n%swant:\n%s", changed, got, want)
	}
	for _, c := range merged {
		if at := c.LastTransitionTime.Unix(); (at == 2) != (c.Status == corev1.ConditionTrue) {
			t.Errorf("%s changed at %d", c.Type, at)
		}
	}
	if _, changed := mergeConditions(merged, o.conditions(time.Unix(3, 0))); changed {
		t.Error("the same conditions are written again")
	}
}

func show(list []corev1.NamespaceCondition) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s %s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

package apply

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"
)

// TestUnreadableFieldsAreNotKept: managedFields of which the library can make nothing are
// not recorded, or nobody could apply to the object any more.
func TestUnreadableFieldsAreNotKept(t *testing.T) {
	m, k := newManager(t)
	for _, fields := range []string{`{"f:data":{"k:{\"a\":1e400}":{}}}`, `{"f:data":{"v:\"x":{}}}`, `{"f:data":{"i:9x":{}}}`} {
		live := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b"}, Data: map[string]string{"a": "b"}}
		m.Record(k["ConfigMap"], "", nil, live, "first", noon)
		live.UID = "u"
		sent := live.DeepCopy()
		sent.Data["a"] = "c"
		sent.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "bad", Operation: metav1.ManagedFieldsOperationApply,
			APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(fields)}}}
		m.Record(k["ConfigMap"], "", live, sent, "second", noon)
		if len(sent.ManagedFields) == 0 {
			t.Errorf("%s: nobody owns anything", fields)
		}
		config := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"},"data":{"q":"r"}}`
		if _, err := m.Apply(k["ConfigMap"], "", sent, []byte(config), "third", true); err != nil {
			t.Errorf("%s: %v", fields, err)
		}
	}
}

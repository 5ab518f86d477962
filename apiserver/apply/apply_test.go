package apply

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/api/scheme"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/kinds"
	"hyperkube/apiserver/registry"
	"hyperkube/apiserver/storetest"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newManager(t testing.TB) (*Manager, map[string]*kind.Kind) {
	t.Helper()
	all := kinds.All()
	r, err := registry.Of(registry.Options{Store: storetest.New(), Scheme: scheme.New()}, all)
	if err != nil {
		t.Fatal(err)
	}
	m := New(r, scheme.New())
	byName := map[string]*kind.Kind{}
	for _, k := range all {
		byName[k.Kind] = k
	}
	return m, byName
}

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: nginx
        image: nginx:1
        ports: [{containerPort: 80}]
`

func TestApplyOwnsWhatItNames(t *testing.T) {
	m, k := newManager(t)
	obj, err := m.Apply(k["Deployment"], "", nil, []byte(web), "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	d := obj.(*appsv1.Deployment)
	if d.Kind != "" || *d.Spec.Replicas != 3 {
		t.Errorf("kind %q replicas %d", d.Kind, *d.Spec.Replicas)
	}
	if n := len(d.ManagedFields); n != 1 || d.ManagedFields[0].Manager != "alice" || d.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("%+v", d.ManagedFields)
	}
	d.UID = "u"
	again, err := m.Apply(k["Deployment"], "", d, []byte(web), "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	if !again.GetManagedFields()[0].Time.Equal(d.ManagedFields[0].Time) {
		t.Error("applying the same again moved the time")
	}
	other := strings.Replace(web, "replicas: 3", "replicas: 5", 1)
	_, err = m.Apply(k["Deployment"], "", d, []byte(other), "bob", false)
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Code != 409 {
		t.Fatalf("want a conflict, got %v", err)
	}
	causes := status.Status().Details.Causes
	if len(causes) != 1 || causes[0].Type != metav1.CauseTypeFieldManagerConflict || causes[0].Field != ".spec.replicas" {
		t.Errorf("%+v", causes)
	}
	forced, err := m.Apply(k["Deployment"], "", d, []byte(other), "bob", true)
	if err != nil {
		t.Fatal(err)
	}
	if n := *forced.(*appsv1.Deployment).Spec.Replicas; n != 5 {
		t.Errorf("replicas %d", n)
	}
	_, err = m.Apply(k["Deployment"], "", nil, []byte(strings.Replace(web, "replicas:", "replicaz:", 1)), "alice", false)
	if err == nil || !strings.Contains(err.Error(), ".spec.replicaz: field not declared in schema") {
		t.Errorf("unknown field: %v", err)
	}
}

func TestRecordStatus(t *testing.T) {
	m, k := newManager(t)
	obj, err := m.Apply(k["Deployment"], "", nil, []byte(web), "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	live := obj.(*appsv1.Deployment)
	live.UID = "u"
	next := live.DeepCopy()
	next.Status.Replicas = 3
	m.Record(k["Deployment"], "status", live, next, "kube-controller-manager", noon)
	last := next.ManagedFields[len(next.ManagedFields)-1]
	if last.Manager != "kube-controller-manager" || last.Subresource != "status" || string(last.FieldsV1.Raw) != `{"f:status":{"f:replicas":{}}}` || !last.Time.Time.Equal(noon) {
		t.Errorf("%+v %s", last, last.FieldsV1)
	}
	same := next.DeepCopy()
	m.Record(k["Deployment"], "status", next, same, "kube-controller-manager", noon.Add(time.Hour))
	if !same.ManagedFields[len(same.ManagedFields)-1].Time.Time.Equal(noon) {
		t.Error("time moved without a change")
	}
}

func BenchmarkParser(b *testing.B) {
	m, _ := newManager(b)
	start := time.Now()
	m.types()
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms")
}

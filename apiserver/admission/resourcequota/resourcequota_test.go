package resourcequota_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/admission/resourcequota"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

func attributes(n int, dryRun bool) *admission.Attributes {
	return &admission.Attributes{
		Kind: &kind.Kind{Names: kind.Names{Plural: "configmaps", Namespaced: true}}, Operation: admission.Create, DryRun: dryRun,
		Info: &request.Info{IsResource: true, Resource: "configmaps", Namespace: "a"}, User: &request.User{},
		Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("c", n)}},
	}
}

func quota(name, limit string) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"configmaps": resource.MustParse(limit)}}}
}

func used(t *testing.T, s *storetest.Store, name string) int64 {
	t.Helper()
	c, _ := s.Collection("", "resourcequotas")
	e, err := c.Get(t.Context(), store.Key{Namespace: "a", Name: name}, store.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	q := e.Object.(*corev1.ResourceQuota).Status.Used["configmaps"]
	return q.Value()
}

// Writes side by side never pass a limit together.
func TestManyAtOnce(t *testing.T) {
	s := storetest.New("resourcequotas", "configmaps")
	s.Put("resourcequotas", quota("q", "10"))
	p := resourcequota.New(s)
	var in atomic.Int64
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			if p.Validate(t.Context(), attributes(n, false)) == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 10 || used(t, s, "q") != 10 {
		t.Errorf("%d came in, %d are charged", in.Load(), used(t, s, "q"))
	}
}

// What one quota refuses is charged to none; a dry run charges nobody.
func TestRefusalChargesNobody(t *testing.T) {
	s := storetest.New("resourcequotas", "configmaps")
	s.Put("resourcequotas", quota("a-wide", "10"), quota("b-narrow", "1"))
	p := resourcequota.New(s)
	if err := p.Validate(t.Context(), attributes(0, true)); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(t.Context(), attributes(1, false)); err != nil {
		t.Fatal(err)
	}
	if p.Validate(t.Context(), attributes(2, false)) == nil {
		t.Fatal("the second came in")
	}
	if w, n := used(t, s, "a-wide"), used(t, s, "b-narrow"); w != 1 || n != 1 {
		t.Errorf("charged %d and %d", w, n)
	}
}

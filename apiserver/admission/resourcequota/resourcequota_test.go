package resourcequota_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
		Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("c", n), UID: types.UID(fmt.Sprint(n))}},
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
			if _, err := p.Charge(t.Context(), attributes(n, false)); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 10 || used(t, s, "q") != 10 {
		t.Errorf("%d came in, %d are charged", in.Load(), used(t, s, "q"))
	}
}

// A charge is given back when the write does not hold, and stays when it does.
func TestRefund(t *testing.T) {
	s := storetest.New("resourcequotas", "configmaps")
	s.Put("resourcequotas", quota("q", "10"))
	p := resourcequota.New(s)
	for n, held := range []bool{true, false, true} {
		done, err := p.Charge(t.Context(), attributes(n, false))
		if err != nil {
			t.Fatal(err)
		}
		done(held)
	}
	if n := used(t, s, "q"); n != 2 {
		t.Errorf("%d are charged for two writes that held", n)
	}
}

// count writes what the controller counted, as the verbs do.
func count(t *testing.T, s *storetest.Store, p *resourcequota.Plugin, n string) {
	t.Helper()
	c, _ := s.Collection("", "resourcequotas")
	_, err := c.Update(t.Context(), store.Key{Namespace: "a", Name: "q"}, func(e *store.Entry) (store.Object, error) {
		next := e.Object.DeepCopyObject().(*corev1.ResourceQuota)
		next.Status.Used["configmaps"] = resource.MustParse(n)
		return next, p.Admit(t.Context(), &admission.Attributes{
			Kind: &kind.Kind{Names: kind.Names{Plural: "resourcequotas", Namespaced: true}}, Operation: admission.Update, Subresource: "status",
			Info: &request.Info{IsResource: true, Resource: "resourcequotas", Namespace: "a"}, User: &request.User{}, Object: next, Old: e.Object,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A count that was made before what is charged was stored does not free it; one
// that knows of deletions does.
func TestCountInFlight(t *testing.T) {
	s := storetest.New("resourcequotas", "configmaps")
	s.Put("resourcequotas", quota("q", "3"))
	p := resourcequota.New(s)
	var done []func(bool)
	for n := range 3 {
		a := attributes(n, false)
		d, err := p.Charge(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if done = append(done, d); n == 0 {
			s.Put("configmaps", a.Object) // stored, but its writer does not know yet
		}
	}
	count(t, s, p, "0")
	if n := used(t, s, "q"); n != 3 {
		t.Fatalf("%d used, one is stored and two are in flight", n)
	}
	if _, err := p.Charge(t.Context(), attributes(3, false)); err == nil {
		t.Error("a fourth came in")
	}
	done[0](true)
	done[1](false)
	s.Put("configmaps", attributes(2, false).Object)
	done[2](true)
	count(t, s, p, "1")
	if n := used(t, s, "q"); n != 2 {
		t.Errorf("%d used, two are stored", n)
	}
	c, _ := s.Collection("", "configmaps")
	if _, err := c.Delete(t.Context(), store.Key{Namespace: "a", Name: "c0"}, nil); err != nil {
		t.Fatal(err)
	}
	count(t, s, p, "1")
	if n := used(t, s, "q"); n != 1 {
		t.Errorf("%d used, one is stored", n)
	}
}

// What one quota refuses is charged to none; a dry run charges nobody.
func TestRefusalChargesNobody(t *testing.T) {
	s := storetest.New("resourcequotas", "configmaps")
	s.Put("resourcequotas", quota("a-wide", "10"), quota("b-narrow", "1"))
	p := resourcequota.New(s)
	if _, err := p.Charge(t.Context(), attributes(0, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Charge(t.Context(), attributes(1, false)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Charge(t.Context(), attributes(2, false)); err == nil {
		t.Fatal("the second came in")
	}
	if w, n := used(t, s, "a-wide"), used(t, s, "b-narrow"); w != 1 || n != 1 {
		t.Errorf("charged %d and %d", w, n)
	}
}

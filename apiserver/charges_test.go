package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"hyperkube/apiserver/admission"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// used is what the quota in namespace d says of a resource.
func used(t *testing.T, st *storetest.Store, name corev1.ResourceName) int64 {
	t.Helper()
	q := quotaOf(t, st)
	n := q.Status.Used[name]
	return n.Value()
}

func quotaOf(t *testing.T, st *storetest.Store) *corev1.ResourceQuota {
	t.Helper()
	c, _ := st.Collection("", "resourcequotas")
	e, err := c.Get(t.Context(), store.Key{Namespace: "d", Name: "q"}, store.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Object.(*corev1.ResourceQuota)
}

func limit(st *storetest.Store, name corev1.ResourceName, n string) {
	st.Put("resourcequotas", &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "q"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse(n)}}})
}

const configMaps = "/api/v1/namespaces/d/configmaps"

// TestQuotaExact: of fifty creates side by side as many come in as the quota says,
// while a counter like the controller's writes what it counted some time before.
func TestQuotaExact(t *testing.T) {
	for round := range 10 {
		w := newWhole(t)
		limit(w.st, "configmaps", "10")
		for n := range 10 { // what was there before, and is gone
			w.send("POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"old-%d"}}`, n))
		}
		w.send("DELETE", configMaps, "")
		w.recount(t)
		if n := used(t, w.st, "configmaps"); n != 0 {
			t.Fatalf("%d used of nothing", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var counting, creating sync.WaitGroup
		counting.Go(func() {
			for ctx.Err() == nil {
				w.recount(t)
			}
		})
		var in atomic.Int64
		for n := range 50 {
			creating.Go(func() {
				if w.send("POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"new-%d"}}`, n)) == http.StatusCreated {
					in.Add(1)
				}
			})
		}
		creating.Wait()
		cancel()
		counting.Wait()
		if in.Load() != 10 || used(t, w.st, "configmaps") != 10 {
			t.Errorf("round %d: %d came in, %d are charged", round, in.Load(), used(t, w.st, "configmaps"))
		}
	}
}

// recount does as the quota controller: it counts what its cache holds and writes
// that later, over the quota as it is then.
func (w *whole) recount(t *testing.T) {
	c, _ := w.st.Collection("", "configmaps")
	l, err := c.List(t.Context(), store.ListOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	n := 0
	for range l.Entries {
		n++
	}
	q := quotaOf(t, w.st)
	w.send("PUT", "/api/v1/namespaces/d/resourcequotas/q/status", fmt.Sprintf(
		`{"metadata":{"name":"q","resourceVersion":%q},"status":{"hard":{"configmaps":"10"},"used":{"configmaps":"%d"}}}`, q.ResourceVersion, n))
}

// TestQuotaRefund: a write that does not hold leaves nothing charged, and one that
// begins again because another writer came first is charged once.
func TestQuotaRefund(t *testing.T) {
	w := newWhole(t)
	limit(w.st, "configmaps", "10")
	for range 3 {
		w.send("POST", configMaps, `{"metadata":{"name":"same"}}`)
	}
	w.send("POST", configMaps, `{"metadata":{"name":"Not A Name"}}`)
	if n := used(t, w.st, "configmaps"); n != 1 {
		t.Errorf("%d configmaps are charged, one is stored", n)
	}
	limit(w.st, "services.nodeports", "10")
	services := "/api/v1/namespaces/d/services"
	if code := w.send("POST", services, `{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}]}}`); code != http.StatusCreated {
		t.Fatal(code)
	}
	var wg sync.WaitGroup
	for n := range 20 { // changes of one object that lose against each other
		wg.Go(func() {
			w.send("MERGE", services+"/s", fmt.Sprintf(`{"metadata":{"labels":{"n":"%d"}},"spec":{"type":"NodePort"}}`, n))
		})
	}
	wg.Wait()
	if n := used(t, w.st, "services.nodeports"); n != 1 {
		t.Errorf("%d node ports are charged, one is held", n)
	}
	limit(w.st, "services.nodeports", "0")
	w.send("POST", services, `{"metadata":{"name":"t"},"spec":{"ports":[{"port":80}]}}`)
	if code := w.send("MERGE", services+"/t", `{"spec":{"type":"NodePort"}}`); code != http.StatusForbidden {
		t.Errorf("over the quota: %d", code)
	}
}

// asked counts what a webhook would see.
type asked struct {
	deletes atomic.Int64
	first   func()
	once    sync.Once
	refuse  bool
}

func (*asked) Name() string                         { return "Asked" }
func (*asked) Handles(a *admission.Attributes) bool { return a.Operation == admission.Delete }
func (p *asked) Validate(context.Context, *admission.Attributes) error {
	p.deletes.Add(1)
	if p.first != nil {
		p.once.Do(p.first)
	}
	if p.refuse {
		return errors.New("refused")
	}
	return nil
}

// TestDeleteAsksOnce: admission is asked once for each object that goes, however
// it goes, and again only when the object it judged is no longer the one that goes.
func TestDeleteAsksOnce(t *testing.T) {
	pod := func(node string, finalizers ...string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "p", UID: "1", Finalizers: finalizers}, Spec: corev1.PodSpec{NodeName: node}}
	}
	const path = "/api/v1/namespaces/d/pods"
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		path    string
		changes bool // another writer comes first, once
		want    int64
	}{
		"graceful":                {pod("n"), path + "/p", false, 1},
		"graceful as a dry run":   {pod("n"), path + "/p?dryRun=All", false, 1},
		"at once":                 {pod(""), path + "/p", false, 1},
		"held by a finalizer":     {pod("", "a/b"), path + "/p", false, 1},
		"with its propagation":    {pod(""), path + "/p?propagationPolicy=Foreground", false, 1},
		"in a collection":         {pod("n"), path, false, 1},
		"graceful, changed first": {pod("n"), path + "/p", true, 2},
		"at once, changed first":  {pod(""), path + "/p", true, 2},
	} {
		w := newWhole(t)
		p := &asked{}
		w.s.verbs.Admission = []admission.Plugin{p}
		w.st.Put("pods", c.pod)
		if c.changes {
			p.first = func() { w.st.Put("pods", c.pod) }
		}
		if code := w.send("DELETE", c.path, ""); code != http.StatusOK {
			t.Errorf("%s: %d", name, code)
		}
		if n := p.deletes.Load(); n != c.want {
			t.Errorf("%s: asked %d times, want %d", name, n, c.want)
		}
	}
}

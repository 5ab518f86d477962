package core

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"hyperkube/apiserver/allocate"
	"hyperkube/apiserver/kind"
	"hyperkube/apiserver/request"
	"hyperkube/apiserver/storetest"
	"hyperkube/store"
)

// world is a kind.Env in memory.
type world struct {
	*storetest.Store
	network *allocate.Allocator
	now     time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	s := storetest.New("services", "pods", "nodes", "poddisruptionbudgets.policy", "ipaddresses.networking.k8s.io", "rangeallocations")
	a, err := allocate.New(allocate.Options{Store: s, Services: netip.MustParsePrefix("10.96.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	return &world{Store: s, network: a, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (w *world) Now() time.Time                 { return w.now }
func (w *world) Authorizer() request.Authorizer { return nil }
func (w *world) Tokens() kind.TokenIssuer       { return nil }
func (w *world) Network() kind.Network          { return w.network }
func (w *world) Authenticate(context.Context, string, []string) (*request.User, []string, error) {
	return nil, nil, errors.New("no tokens here")
}

func (w *world) pod(t testing.TB, name string) *corev1.Pod {
	t.Helper()
	c, _ := w.Collection("", "pods")
	e, err := c.Get(t.Context(), store.Key{Namespace: "default", Name: name}, store.Freshness{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Object.(*corev1.Pod)
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, UID: "1"}
}

// apply does to a service what the verbs do around the hooks.
func (w *world) apply(t *testing.T, s, old *corev1.Service, dryRun bool) (*corev1.Service, error) {
	t.Helper()
	k := services()
	s = s.DeepCopy()
	s.ObjectMeta = meta("web")
	k.Default(s)
	var done func(bool)
	var err error
	if old == nil {
		k.PrepareCreate(t.Context(), s)
		done, err = k.BeforeCreate(t.Context(), w, s, dryRun)
	} else {
		k.PrepareUpdate(t.Context(), s, old)
		done, err = k.BeforeUpdate(t.Context(), w, s, old, dryRun)
	}
	if err != nil {
		return nil, err
	}
	if !dryRun {
		w.Put("services", s)
		done(true)
	}
	return s, nil
}

func (w *world) taken(t *testing.T, ip string, port int32) (addr, node bool) {
	t.Helper()
	return errors.Is(w.network.CheckIP(t.Context(), ip), allocate.ErrAllocated), errors.Is(w.network.CheckPort(t.Context(), port), allocate.ErrPortTaken)
}

func TestServiceTypesTakeAndGiveBack(t *testing.T) {
	w := newWorld(t)
	ports := []corev1.ServicePort{{Name: "a", Port: 53, Protocol: corev1.ProtocolTCP}, {Name: "b", Port: 53, Protocol: corev1.ProtocolUDP}}
	first, err := w.apply(t, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: ports}}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	ip, port := first.Spec.ClusterIP, first.Spec.Ports[0].NodePort
	if ip == "" || first.Spec.ClusterIPs[0] != ip || port == 0 || first.Spec.Ports[1].NodePort != port {
		t.Fatalf("not given out: %+v", first.Spec)
	}
	if len(first.Spec.IPFamilies) != 1 || *first.Spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
		t.Fatalf("families: %+v", first.Spec)
	}
	// NodePort → ClusterIP: the port goes back, the address stays.
	second, err := w.apply(t, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: ports}}, first, false)
	if err != nil {
		t.Fatal(err)
	}
	if addr, node := w.taken(t, ip, port); second.Spec.ClusterIP != ip || !addr || node {
		t.Fatalf("after ClusterIP: %s address %v port %v", second.Spec.ClusterIP, addr, node)
	}
	// → ExternalName: the address goes back too.
	third, err := w.apply(t, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "a.b", ClusterIP: ip}}, second, false)
	if err != nil {
		t.Fatal(err)
	}
	if addr, _ := w.taken(t, ip, port); addr || third.Spec.ClusterIP != "" {
		t.Fatalf("after ExternalName: %q, address taken %v", third.Spec.ClusterIP, addr)
	}
	// → NodePort with a port of choice, then delete.
	ports[0].NodePort = 30123
	fourth, err := w.apply(t, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: ports[:1]}}, third, false)
	if err != nil {
		t.Fatal(err)
	}
	ip = fourth.Spec.ClusterIP
	if addr, node := w.taken(t, ip, 30123); !addr || !node {
		t.Fatal("not taken again")
	}
	services().AfterDelete(t.Context(), w, fourth)
	if addr, node := w.taken(t, ip, 30123); addr || node {
		t.Fatal("not given back on delete")
	}
}

func TestServiceRefusals(t *testing.T) {
	w := newWorld(t)
	if _, err := w.network.AllocateIP(t.Context(), store.Key{Name: "other"}, "10.96.0.7"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.network.AllocatePort(t.Context(), store.Key{Name: "other"}, 30007); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec corev1.ServiceSpec
		want string
	}{
		{corev1.ServiceSpec{ClusterIP: "10.96.0.7"}, "failed to allocate IP 10.96.0.7: provided IP is already allocated"},
		{corev1.ServiceSpec{ClusterIP: "1.1.1.1"}, "is not in the valid range. The range of valid IPs is 10.96.0.0/24"},
		{corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30007}}}, "spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated"},
		{corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: 80}}}, "The range of valid ports is 30000-32767"},
		{corev1.ServiceSpec{IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol}}, "not configured on this cluster"},
		{corev1.ServiceSpec{ClusterIP: "x"}, "must be a valid IP address"},
	} {
		if c.spec.Ports == nil {
			c.spec.Ports = []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}
		}
		for _, dryRun := range []bool{true, false} {
			if _, err := w.apply(t, &corev1.Service{Spec: c.spec}, nil, dryRun); err == nil || !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("dry run %v: %v, want %q", dryRun, err, c.want)
			}
		}
	}
	addresses, _ := w.Collection("networking.k8s.io", "ipaddresses")
	list, err := addresses.List(t.Context(), store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range list.Entries {
		n++
	}
	if n != 1 {
		t.Errorf("%d addresses are taken after refusals and dry runs, want the first one", n)
	}
}

func TestBinding(t *testing.T) {
	w := newWorld(t)
	w.Put("pods", &corev1.Pod{ObjectMeta: meta("p"), Status: corev1.PodStatus{NominatedNodeName: "x"}},
		&corev1.Pod{ObjectMeta: meta("gated"), Spec: corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: "g"}}}})
	bind := func(pod, node string, dryRun bool) error {
		b := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
		b.Annotations, b.Labels = map[string]string{"a": "b"}, map[string]string{"zone": "z"}
		_, err := createBinding(t.Context(), w, store.Key{Namespace: "default", Name: pod}, b, kind.CreateOptions{DryRun: dryRun})
		return err
	}
	if err := bind("p", "n1", true); err != nil || w.pod(t, "p").Spec.NodeName != "" {
		t.Fatal("dry run", err)
	}
	before := w.pod(t, "p")
	if err := bind("p", "n1", false); err != nil {
		t.Fatal(err)
	}
	p := w.pod(t, "p")
	c := p.Status.Conditions
	if p.Spec.NodeName != "n1" || p.Status.NominatedNodeName != "" || p.Annotations["a"] != "b" || p.Labels["zone"] != "z" ||
		len(c) != 1 || c[0].Type != corev1.PodScheduled || c[0].Status != corev1.ConditionTrue || !c[0].LastTransitionTime.Time.Equal(w.now) {
		t.Fatalf("bound: %+v", p)
	}
	if before.Spec.NodeName != "" || len(before.Status.Conditions) != 0 {
		t.Fatal("the shared object was changed")
	}
	if err := bind("p", "n2", false); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `pod p is already assigned to node "n1"`) {
		t.Errorf("twice: %v", err)
	}
	if err := bind("gated", "n1", false); !apierrors.IsConflict(err) {
		t.Errorf("gated: %v", err)
	}
	if err := bind("missing", "n1", false); !apierrors.IsNotFound(err) {
		t.Errorf("missing: %v", err)
	}
	if err := bind("p", "", false); !apierrors.IsInvalid(err) {
		t.Errorf("no target: %v", err)
	}
}

func TestEviction(t *testing.T) {
	w := newWorld(t)
	grace := int64(30)
	ready := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for _, name := range []string{"a", "b"} {
		m := meta(name)
		m.Labels, m.Generation = map[string]string{"app": "web"}, 1
		w.Put("pods", &corev1.Pod{ObjectMeta: m, Spec: corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: &grace}, Status: ready})
	}
	w.Put("pods", &corev1.Pod{ObjectMeta: meta("pending"), Status: corev1.PodStatus{Phase: corev1.PodPending}})
	w.Put("poddisruptionbudgets.policy", &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "budget"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, DesiredHealthy: 1, CurrentHealthy: 2},
	})
	try := func(pod string, dryRun bool) error {
		_, err := evict(t.Context(), w, store.Key{Namespace: "default", Name: pod}, &policyv1.Eviction{}, kind.CreateOptions{DryRun: dryRun})
		return err
	}
	if err := try("a", true); err != nil || w.pod(t, "a").DeletionTimestamp != nil {
		t.Fatal("dry run", err)
	}
	if err := try("a", false); err != nil {
		t.Fatal(err)
	}
	a := w.pod(t, "a")
	if a.DeletionTimestamp == nil || !a.DeletionTimestamp.Time.Equal(w.now.Add(30*time.Second)) || *a.DeletionGracePeriodSeconds != 30 ||
		a.Generation != 2 || a.Status.Conditions[1].Type != corev1.DisruptionTarget || a.Status.Conditions[1].Reason != "EvictionByEvictionAPI" {
		t.Fatalf("evicted: %+v", a)
	}
	err := try("b", false)
	var s apierrors.APIStatus
	if !apierrors.IsTooManyRequests(err) || !errors.As(err, &s) || s.Status().Details.Causes[0].Type != policyv1.DisruptionBudgetCause ||
		s.Status().Details.Causes[0].Message != "The disruption budget budget needs 1 healthy pods and has 2 currently" {
		t.Fatalf("over budget: %v", err)
	}
	if err := try("pending", false); err != nil {
		t.Fatal(err)
	}
	pods, _ := w.Collection("", "pods")
	if _, err := pods.Get(t.Context(), store.Key{Namespace: "default", Name: "pending"}, store.Freshness{}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a pod that nothing runs is still there: %v", err)
	}
}

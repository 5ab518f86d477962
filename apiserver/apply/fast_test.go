package apply

import (
	"encoding/json"
	"math/rand"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"hyperkube/store"
)

// TestFastIsTheLibrary drives random histories of random objects through the
// fast path and through the library, its naive twin; the records must be equal
// to the byte after every step.
func TestFastIsTheLibrary(t *testing.T) {
	m, byName := newManager(t)
	for i, name := range []string{
		"Pod", "Deployment", "Node", "ConfigMap", "Lease", "Service", "ReplicaSet", "EndpointSlice", "Secret", "Job", "StatefulSet",
		"Event", "Namespace", "ServiceAccount", "ClusterRole", "RoleBinding", "Ingress", "NetworkPolicy", "PersistentVolume", "HorizontalPodAutoscaler",
	} {
		if i == fastKinds {
			break
		}
		t.Run(name, func(t *testing.T) {
			k, steps, fast := byName[name], 0, 0
			rapid.Check(t, func(t *rapid.T) {
				f := filler{r: rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))}
				var live store.Object
				for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
					now := noon.Add(time.Duration(step) * time.Hour)
					sub := ""
					if live != nil && k.HasStatus && f.r.Intn(2) == 0 {
						sub = "status"
					}
					manager := []string{"kubectl", "kubelet", "controller", ""}[f.r.Intn(4)]
					obj := f.next(k.New, live)
					if f.r.Intn(20) == 0 {
						obj.SetManagedFields([]metav1.ManagedFieldsEntry{{}})
					}
					want, got := obj.DeepCopyObject().(store.Object), obj.DeepCopyObject().(store.Object)
					m.record(k, sub, live, want, manager, now)
					steps++
					if m.fast(k, sub, live, got, manager, now) {
						fast++
						if d := cmp.Diff(text(want), text(got)); d != "" {
							a, _ := json.Marshal(live)
							b, _ := json.Marshal(obj)
							t.Logf("live %s\nobj  %s", a, b)
							t.Fatalf("step %d, %q as %q: library -, fast +\n%s", step, sub, manager, d)
						}
					}
					live = want
					live.SetUID("u")
				}
			})
			t.Logf("%d of %d writes took the fast path", fast, steps)
			if fast*3 < steps {
				t.Errorf("only %d of %d writes took the fast path", fast, steps)
			}
		})
	}
}

func text(o store.Object) []string {
	var out []string
	for _, e := range o.GetManagedFields() {
		at := "never"
		if e.Time != nil {
			at = e.Time.UTC().Format(time.RFC3339Nano)
		}
		out = append(out, e.Manager+" "+string(e.Operation)+" "+e.APIVersion+" "+e.FieldsType+" "+e.Subresource+" "+at, string(e.FieldsV1.Raw))
	}
	return out
}

// filler makes objects whose lists collide in their keys now and then, and
// changes them a little.
type filler struct{ r *rand.Rand }

func (f filler) next(blank func() store.Object, live store.Object) store.Object {
	if live == nil {
		o := blank()
		f.fill(reflect.ValueOf(o).Elem(), 0)
		f.settle(o)
		return o
	}
	o := live.DeepCopyObject().(store.Object)
	entries := o.GetManagedFields()
	o.SetManagedFields(nil)
	f.change(reflect.ValueOf(o).Elem(), 0)
	f.settle(o)
	o.SetManagedFields(entries)
	return o
}

func (f filler) settle(o store.Object) {
	o.SetManagedFields(nil)
	o.SetName("x")
	o.SetUID("")
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	// As decoded from the wire: the library compares Go values inside atomic lists,
	// where nil and empty differ; the fast path compares what the wire shows.
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	reflect.ValueOf(o).Elem().SetZero()
	if err := json.Unmarshal(text, o); err != nil {
		panic(err)
	}
}

func (f filler) change(v reflect.Value, depth int) {
	if f.r.Intn(12) == 0 && depth > 0 {
		v.SetZero()
		f.fill(v, depth)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			f.change(v.Elem(), depth+1)
		}
	case reflect.Struct:
		if special(v.Type()) {
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				f.change(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			f.change(v.Index(i), depth+1)
		}
	}
}

func special(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[intstr.IntOrString](),
		reflect.TypeFor[runtime.RawExtension](), reflect.TypeFor[metav1.FieldsV1]():
		return true
	}
	return false
}

func (f filler) fillSpecial(v reflect.Value) bool {
	switch v.Type() {
	case reflect.TypeFor[metav1.Time]():
		if f.r.Intn(3) > 0 {
			v.Set(reflect.ValueOf(metav1.Unix(int64(f.r.Intn(3))+1e9, 0)))
		}
	case reflect.TypeFor[metav1.MicroTime]():
		if f.r.Intn(3) > 0 {
			v.Set(reflect.ValueOf(metav1.NewMicroTime(time.UnixMicro(int64(f.r.Intn(3)) + 1e15))))
		}
	case reflect.TypeFor[resource.Quantity]():
		v.Set(reflect.ValueOf(resource.MustParse([]string{"0", "1", "1000m", "2Gi", "100m"}[f.r.Intn(5)])))
	case reflect.TypeFor[intstr.IntOrString]():
		v.Set(reflect.ValueOf(intstr.Parse([]string{"0", "80", "25%", "http"}[f.r.Intn(4)])))
	case reflect.TypeFor[runtime.RawExtension](), reflect.TypeFor[metav1.FieldsV1]():
	default:
		return false
	}
	return true
}

func (f filler) fill(v reflect.Value, depth int) {
	if f.fillSpecial(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if f.r.Intn(3) == 0 && depth < 12 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				f.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if n := f.r.Intn(5) - 1; n > 0 && depth < 12 {
			n = min(n, 2)
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				f.fill(v.Index(i), depth+1)
			}
		} else if n == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
	case reflect.Map:
		if n := f.r.Intn(4) - 1; n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				f.fill(key, depth+1)
				f.fill(elem, depth+1)
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.String:
		if f.r.Intn(40) > 0 {
			v.SetString([]string{"a", "b", "c.d/e", "10", "9"}[f.r.Intn(5)] + strconv.Itoa(f.r.Intn(30)))
		}
	case reflect.Bool:
		v.SetBool(f.r.Intn(2) == 0)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.r.Intn(60)*f.r.Intn(200) - 5))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.r.Intn(3)))
	case reflect.Float64:
		v.SetFloat(float64(f.r.Intn(3)))
	}
}

func examplePod() *corev1.Pod {
	yes, no, grace, tolerate := true, false, int64(30), int64(300)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "web-", Labels: map[string]string{"app": "web", "pod-template-hash": "abc"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-abc", UID: "1234", Controller: &yes, BlockOwnerDeletion: &yes}}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "nginx", Image: "nginx:1", ImagePullPolicy: "IfNotPresent", TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
				Ports:        []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}, {ContainerPort: 443, Protocol: "TCP"}},
				Env:          []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
				Resources:    corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("10Mi")}},
				VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets", ReadOnly: true}},
			}},
			RestartPolicy: "Always", DNSPolicy: "ClusterFirst", ServiceAccountName: "default", DeprecatedServiceAccount: "default", SchedulerName: "default-scheduler",
			SecurityContext: &corev1.PodSecurityContext{}, TerminationGracePeriodSeconds: &grace, EnableServiceLinks: &no,
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &tolerate}},
			Volumes:     []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
		Status: corev1.PodStatus{Phase: "Pending", QOSClass: "Burstable"},
	}
}

func running(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	p.UID = "u"
	at := metav1.Unix(1e9, 0)
	p.Status = corev1.PodStatus{
		Phase: "Running", PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}, HostIP: "1.2.3.4", HostIPs: []corev1.HostIP{{IP: "1.2.3.4"}}, StartTime: &at,
		Conditions: []corev1.PodCondition{
			{Type: "PodReadyToStartContainers", Status: "True", LastTransitionTime: at}, {Type: "Initialized", Status: "True", LastTransitionTime: at},
			{Type: "Ready", Status: "True", LastTransitionTime: at}, {Type: "ContainersReady", Status: "True", LastTransitionTime: at}, {Type: "PodScheduled", Status: "True", LastTransitionTime: at},
		},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "nginx", Ready: true, Image: "nginx:1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}}},
	}
	return p
}

func BenchmarkCreatePod(b *testing.B) {
	m, k := newManager(b)
	bench := func(record func(store.Object)) func(*testing.B) {
		return func(b *testing.B) {
			p := examplePod()
			b.ReportAllocs()
			for b.Loop() {
				p.ManagedFields = nil
				record(p)
			}
		}
	}
	b.Run("fast", bench(func(o store.Object) { m.fast(k["Pod"], "", nil, o, "kube-controller-manager", noon) }))
	b.Run("library", bench(func(o store.Object) { m.record(k["Pod"], "", nil, o, "kube-controller-manager", noon) }))
}

func BenchmarkStatus(b *testing.B) {
	m, k := newManager(b)
	p := examplePod()
	m.Record(k["Pod"], "", nil, p, "kube-controller-manager", noon)
	live := running(p)
	live.ManagedFields = p.ManagedFields
	m.Record(k["Pod"], "status", p, live, "kubelet", noon)
	next := live.DeepCopy()
	next.Status.Conditions[2].Status = "False"
	next.Status.ContainerStatuses[0].Ready = false
	bench := func(record func(store.Object)) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				next.ManagedFields = live.ManagedFields
				record(next)
			}
		}
	}
	b.Run("fast", bench(func(o store.Object) { m.fast(k["Pod"], "status", live, o, "kubelet", noon) }))
	b.Run("library", bench(func(o store.Object) { m.record(k["Pod"], "status", live, o, "kubelet", noon) }))
}

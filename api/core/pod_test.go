package core

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

// typicalPod is what a Deployment makes: a container with resources, probes, a
// token volume and a few variables.
func typicalPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-5d4f-x", Namespace: "default", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			ServiceAccountName: "default",
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example.com/web:1.2",
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				Env:   []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("128Mi")},
				},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}}},
				VolumeMounts:   []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
			}},
			Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
			}}}}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
		},
	}
}

func BenchmarkDefaultAndValidatePod(b *testing.B) {
	p := typicalPod()
	b.ReportAllocs()
	for b.Loop() {
		DefaultPod(p)
		if errs := ValidatePod(p); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}

func BenchmarkPodRow(b *testing.B) {
	p := typicalPod()
	b.ReportAllocs()
	for b.Loop() {
		PodRow(p, p.CreationTimestamp.Time)
	}
}

// Defaulting a defaulted pod changes nothing, and no pod makes validation panic.
func FuzzPod(f *testing.F) {
	seed, err := json.Marshal(typicalPod())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","image":"a"}],"volumes":[{"name":"v"}],"ephemeralContainers":[{}]}}`))
	f.Add([]byte(`{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{}}},"resources":{"limits":{"cpu":"1e-9"}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &corev1.Pod{}
		if json.Unmarshal(raw, p) != nil {
			return
		}
		DefaultPod(p)
		again := p.DeepCopy()
		DefaultPod(again)
		if !equality.Semantic.DeepEqual(p, again) {
			t.Fatalf("defaults are not idempotent:\n%v\n%v", p, again)
		}
		ValidatePod(p)
		ValidatePodUpdate(p, again)
		ValidatePodUpdate(p, typicalPod())
		ValidatePodStatusUpdate(p, typicalPod())
		ValidatePodResize(p, again)
		ValidatePodEphemeralUpdate(p, again)
		PreparePod(again)
		PodRow(p, p.CreationTimestamp.Time)
	})
}

// The matchers by hand agree with the grammar they stand for.
func TestNamesAgreeWithTheirGrammar(t *testing.T) {
	for _, m := range []struct {
		name  string
		fast  func(string) bool
		slow  func(string) []string
		equal bool // false: fast may refuse what slow allows
	}{
		{"label", isDNSLabel, validation.IsDNS1123Label, true},
		{"subdomain", isDNSSubdomain, validation.IsDNS1123Subdomain, true},
		{"qualified", isQualifiedName, validation.IsQualifiedName, true},
		{"value", isLabelValue, validation.IsValidLabelValue, true},
		{"key", isConfigKey, validation.IsConfigMapKey, true},
		{"env", isEnvName, validation.IsRelaxedEnvVarName, false},
	} {
		t.Run(m.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := rapid.StringOfN(rapid.SampledFrom([]rune("ab-._/A09= é")), 0, 66, -1).Draw(t, "s")
				fast, slow := m.fast(s), len(m.slow(s)) == 0
				if fast && !slow || m.equal && slow && !fast {
					t.Fatalf("%q: fast says %v, the grammar %v", s, fast, slow)
				}
			})
		})
	}
}

func TestQOSClass(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		out := corev1.ResourceList{}
		if cpu != "" {
			out[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			out[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return out
	}
	for _, c := range []struct {
		requests, limits corev1.ResourceList
		want             corev1.PodQOSClass
	}{
		{nil, nil, corev1.PodQOSBestEffort},
		{list("1", ""), nil, corev1.PodQOSBurstable},
		{list("1", "1Gi"), list("1", "1Gi"), corev1.PodQOSGuaranteed},
		{list("1", "1Gi"), list("2", "1Gi"), corev1.PodQOSBurstable},
		{list("1", ""), list("1", ""), corev1.PodQOSBurstable},
	} {
		s := corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: c.requests, Limits: c.limits}}}}
		if got := QOSClass(&s); got != c.want {
			t.Errorf("requests %v limits %v: %s, want %s", c.requests, c.limits, got, c.want)
		}
	}
}

func TestPodGrace(t *testing.T) {
	p := typicalPod()
	DefaultPod(p)
	grace := func(asked int64) int64 {
		if asked < -1 {
			return PodGrace(p, nil)
		}
		return PodGrace(p, &asked)
	}
	if got := grace(-2); got != 0 {
		t.Errorf("a pod without a node: %d", got)
	}
	p.Spec.NodeName = "n"
	for asked, want := range map[int64]int64{-2: 30, -1: 1, 0: 0, 5: 5} {
		if got := grace(asked); got != want {
			t.Errorf("asked %d: %d, want %d", asked, got, want)
		}
	}
	p.Status.Phase = corev1.PodSucceeded
	if got := grace(5); got != 0 {
		t.Errorf("a pod that has ended: %d", got)
	}
}

func BenchmarkPodSpecChanged(b *testing.B) {
	p := typicalPod()
	DefaultPod(p)
	old := p.DeepCopy()
	b.ReportAllocs()
	for b.Loop() {
		if PodSpecChanged(p, old) {
			b.Fatal("equal pods differ")
		}
	}
}

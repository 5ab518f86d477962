package apiserver

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"hyperkube/apiserver/codec"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func benchPod(name string) *corev1.Pod {
	env := make([]corev1.EnvVar, 8)
	for i := range env {
		env[i] = corev1.EnvVar{Name: fmt.Sprintf("KEY_%d", i), Value: "some value of ordinary length"}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "d", Labels: map[string]string{"app": "bench", "n": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry/image:tag", Env: env,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}}}}},
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkGet(b *testing.B) {
	s, st := newTestServer(b)
	st.Put("pods", benchPod("p"))
	for _, accept := range []string{"application/vnd.kubernetes.protobuf", "application/json"} {
		b.Run(accept, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "/api/v1/namespaces/d/pods/p", nil)
				r.Header.Set("Accept", accept)
				s.Handler().ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
}

func BenchmarkList5000(b *testing.B) {
	s, st := newTestServer(b)
	for i := range 5000 {
		st.Put("pods", benchPod(fmt.Sprintf("p-%05d", i)))
	}
	for _, accept := range []string{"application/vnd.kubernetes.protobuf", "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		b.Run(accept, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "/api/v1/pods", nil)
				r.Header.Set("Accept", accept)
				s.Handler().ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, wire := range []codec.Wire{codec.Proto, codec.JSON} {
		b.Run(wire.String(), func(b *testing.B) {
			s, _ := newTestServer(b)
			p := benchPod("")
			p.GenerateName = "p-"
			body, err := codec.AppendObject(nil, codec.Media{Wire: wire}, p, corev1.SchemeGroupVersion.WithKind("Pod"))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", "/api/v1/namespaces/d/pods", bytes.NewReader(body))
				r.Header.Set("Content-Type", wire.String())
				r.Header.Set("Accept", wire.String())
				s.Handler().ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
}

func BenchmarkPatchStatus(b *testing.B) {
	s, st := newTestServer(b)
	st.Put("pods", benchPod("p"))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":"True","message":"%d"}]}}`, i)
		r := httptest.NewRequest("PATCH", "/api/v1/namespaces/d/pods/p/status", bytes.NewReader([]byte(body)))
		r.Header.Set("Content-Type", "application/strategic-merge-patch+json")
		r.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
		s.Handler().ServeHTTP(&discard{http.Header{}}, r)
	}
}

package conformance

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

func (f *fixture) services() typedcorev1.ServiceInterface { return f.kube.CoreV1().Services(f.ns) }

func newService(name string, selector map[string]string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}},
		Spec: corev1.ServiceSpec{Selector: selector, Ports: ports}}
}

func (f *fixture) createService(s *corev1.Service) *corev1.Service {
	f.Helper()
	made, err := f.services().Create(f.ctx, s, metav1.CreateOptions{})
	if err != nil {
		f.Fatalf("creating service %s: %v", s.Name, err)
	}
	return made
}

// changeService updates a service, again if someone else did in between.
func (f *fixture) changeService(name string, change func(*corev1.Service)) *corev1.Service {
	f.Helper()
	var out *corev1.Service
	f.eventually("the update of service "+name, func() error {
		s, err := f.services().Get(f.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(s)
		out, err = f.services().Update(f.ctx, s, metav1.UpdateOptions{})
		return err
	})
	return out
}

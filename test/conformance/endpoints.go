package conformance

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
)

func endpointObjects() []behaviour {
	return []behaviour{
		{name: "kubernetes.default Endpoints and EndpointSlices", run: kubernetesEndpoints},
		{name: "EndpointSlice, creation/deletion", run: slicesFollow},
		{name: `EndpointSlice, "empty" Service`, run: emptyService},
		{name: "EndpointSlice, multiple IPs, multiple ports", run: ownSlices(true)},
		{name: "EndpointSlice, single IP, multiple ports", run: ownSlices(false)},
		{name: "Endpoints, creation/deletion", run: endpointsFollow},
		{name: `Endpoints, "empty" Service`, run: emptyService},
		{name: "Endpoint resource lifecycle", run: endpointsLifecycle},
		{name: "Service, endpoints", run: serviceEndpoints},
		{name: "Service, endpoints with multiple ports", run: multiPort},
		{name: "Service endpoint latency, thresholds", run: endpointLatency},
	}
}

func kubernetesEndpoints(f *fixture) {
	e := must(f.kube.CoreV1().Endpoints("default").Get(f.ctx, "kubernetes", metav1.GetOptions{})) //nolint:staticcheck // the old API is what is tested
	f.expect(len(e.Subsets) > 0 && len(e.Subsets[0].Addresses) > 0, "no addresses: %v", e.Subsets)
	l := must(f.kube.DiscoveryV1().EndpointSlices("default").List(f.ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"}))
	var have []string
	for _, s := range l.Items {
		for _, x := range s.Endpoints {
			have = append(have, x.Addresses...)
		}
	}
	for _, a := range e.Subsets[0].Addresses {
		f.expect(slices.Contains(have, a.IP), "endpoint slices %v lack %s", have, a.IP)
	}
}

// endpointsOf are the service's endpoints as address:port, by the slices.
func (f *fixture) endpointsOf(service string) (map[string]bool, error) {
	l, err := f.kube.DiscoveryV1().EndpointSlices(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + service})
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, s := range l.Items {
		for _, e := range s.Endpoints {
			for _, p := range s.Ports {
				for _, a := range e.Addresses {
					out[fmt.Sprintf("%s:%d", a, *p.Port)] = true
				}
			}
		}
	}
	return out, nil
}

func (f *fixture) awaitEndpoints(service string, want ...string) {
	f.Helper()
	f.eventually(fmt.Sprintf("endpoints %v of %s", want, service), func() error {
		have, err := f.endpointsOf(service)
		if err != nil {
			return err
		}
		slices.Sort(want)
		got := slices.Sorted(maps.Keys(have))
		return errUnless(slices.Equal(got, want), "they are %v", got)
	})
}

func twoPods(f *fixture, service string) (a, b *corev1.Pod) {
	f.createService(newService(service, map[string]string{"app": "web"}, corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}))
	a = f.start(f.server("a", withLabels(map[string]string{"app": "web"})))
	b = f.start(f.server("b", withLabels(map[string]string{"app": "web"})))
	return a, b
}

func slicesFollow(f *fixture) {
	a, b := twoPods(f, "web")
	f.awaitEndpoints("web", a.Status.PodIP+":8080", b.Status.PodIP+":8080")
	l := must(f.kube.DiscoveryV1().EndpointSlices(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})).Items
	f.expect(len(l) == 1 && l[0].AddressType == discoveryv1.AddressTypeIPv4 && *l[0].Ports[0].Name == "http", "slices %+v", l)
	for _, e := range l[0].Endpoints {
		f.expect(e.TargetRef != nil && e.TargetRef.Kind == "Pod" && e.NodeName != nil && *e.Conditions.Ready, "endpoint %+v", e)
	}
	check(f.services().Delete(f.ctx, "web", metav1.DeleteOptions{}))
	f.eventually("the slices are gone", func() error {
		l, err := f.kube.DiscoveryV1().EndpointSlices(f.ns).List(f.ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 0, "%d slices", len(l.Items))
	})
}

func endpointsFollow(f *fixture) {
	a, b := twoPods(f, "web")
	want := []string{a.Status.PodIP, b.Status.PodIP}
	slices.Sort(want)
	f.eventually("the endpoints", func() error {
		e, err := f.kube.CoreV1().Endpoints(f.ns).Get(f.ctx, "web", metav1.GetOptions{}) //nolint:staticcheck // the old API is what is tested
		if err != nil {
			return err
		}
		var got []string
		for _, s := range e.Subsets {
			for _, x := range s.Addresses {
				got = append(got, x.IP)
			}
		}
		slices.Sort(got)
		return errUnless(slices.Equal(got, want), "addresses %v, want %v", got, want)
	})
	check(f.services().Delete(f.ctx, "web", metav1.DeleteOptions{}))
	endpointsGone(f, "web")
}

func endpointsGone(f *fixture, name string) {
	f.eventually("the endpoints are gone", func() error {
		_, err := f.kube.CoreV1().Endpoints(f.ns).Get(f.ctx, name, metav1.GetOptions{}) //nolint:staticcheck // the old API is what is tested
		return gone(err)
	})
}

// emptyService has Endpoints and slices without addresses, until it is deleted.
func emptyService(f *fixture) {
	f.createService(newService("empty", map[string]string{"app": "none"}, corev1.ServicePort{Port: 80}))
	sel := metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=empty"}
	f.eventually("empty endpoints and slices", func() error {
		e, err := f.kube.CoreV1().Endpoints(f.ns).Get(f.ctx, "empty", metav1.GetOptions{}) //nolint:staticcheck // the old API is what is tested
		if err != nil {
			return err
		}
		l, err := f.kube.DiscoveryV1().EndpointSlices(f.ns).List(f.ctx, sel)
		if err != nil {
			return err
		}
		return errUnless(len(e.Subsets) == 0 && len(l.Items) == 1 && len(l.Items[0].Endpoints) == 0, "subsets %v, slices %v", e.Subsets, l.Items)
	})
	check(f.services().Delete(f.ctx, "empty", metav1.DeleteOptions{}))
	endpointsGone(f, "empty")
	f.eventually("the slices are gone", func() error {
		l, err := f.kube.DiscoveryV1().EndpointSlices(f.ns).List(f.ctx, sel)
		if err != nil {
			return err
		}
		return errUnless(len(l.Items) == 0, "%d slices", len(l.Items))
	})
}

// ownSlices: a service without a selector goes where slices made by hand say.
func ownSlices(twoPods bool) func(*fixture) {
	return func(f *fixture) {
		s := f.createService(newService("own", nil,
			corev1.ServicePort{Name: "one", Port: 80, TargetPort: intstr.FromInt32(8080)}, corev1.ServicePort{Name: "two", Port: 81, TargetPort: intstr.FromInt32(9090)}))
		flags := []string{"serve", "-udp", "", "-tcp", ""}
		p := f.server("a", withArgs(flags...))
		second := f.sleeper("x", withArgs(append(flags, "-http", ":9090")...))
		if !twoPods { // both ports in one pod
			c := second.Spec.Containers[0]
			c.Name = "second"
			p.Spec.Containers = append(p.Spec.Containers, c)
		}
		a := f.start(p)
		b := a
		if twoPods {
			second.Name = "b"
			b = f.start(second)
		}
		f.start(f.sleeper("client"))
		for port, x := range map[string]struct {
			pod    *corev1.Pod
			number int32
		}{"one": {a, 8080}, "two": {b, 9090}} {
			must(f.kube.DiscoveryV1().EndpointSlices(f.ns).Create(f.ctx, &discoveryv1.EndpointSlice{
				ObjectMeta:  metav1.ObjectMeta{Name: "own-" + port, Labels: map[string]string{"kubernetes.io/service-name": "own", "endpointslice.kubernetes.io/managed-by": "conformance"}},
				AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: to(port), Port: to(x.number), Protocol: to(corev1.ProtocolTCP)}},
				Endpoints: []discoveryv1.Endpoint{{Addresses: []string{x.pod.Status.PodIP}}},
			}, metav1.CreateOptions{}))
		}
		f.expect(f.reaches("http://"+host(s.Spec.ClusterIP, 80)+"/hostname") == a.Name, "another pod answers at the first port")
		f.expect(f.reaches("http://"+host(s.Spec.ClusterIP, 81)+"/hostname") == b.Name, "another pod answers at the second port")
	}
}

func endpointsLifecycle(f *fixture) {
	c, sel := f.kube.CoreV1().Endpoints(f.ns), metav1.ListOptions{LabelSelector: "test=" + f.id} //nolint:staticcheck // the old API is what is tested
	w := must(c.Watch(f.ctx, sel))
	defer w.Stop()
	must(c.Create(f.ctx, &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "life", Labels: map[string]string{"test": f.id}}, //nolint:staticcheck // the old API is what is tested
		Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "10.0.0.24"}}, Ports: []corev1.EndpointPort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}}}}, metav1.CreateOptions{})) //nolint:staticcheck // the old API is what is tested
	f.await(w, watch.Added, "life")
	f.expect(len(must(f.kube.CoreV1().Endpoints("").List(f.ctx, sel)).Items) == 1, "it is not listed in all namespaces") //nolint:staticcheck // the old API is what is tested
	e := must(c.Get(f.ctx, "life", metav1.GetOptions{}))
	e.Labels["updated"] = "yes"
	must(c.Update(f.ctx, e, metav1.UpdateOptions{}))
	f.await(w, watch.Modified, "life")
	got := must(c.Patch(f.ctx, "life", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"patched":"yes"}},"subsets":[{"addresses":[{"ip":"10.0.0.25"}],"ports":[{"name":"http-test","port":8080}]}]}`), metav1.PatchOptions{}))
	f.expect(got.Labels["patched"] == "yes" && got.Labels["updated"] == "yes" && got.Subsets[0].Addresses[0].IP == "10.0.0.25" && got.Subsets[0].Ports[0].Port == 8080, "got %v %v", got.Labels, got.Subsets)
	check(c.DeleteCollection(f.ctx, metav1.DeleteOptions{}, sel))
	f.await(w, watch.Deleted, "life")
}

func serviceEndpoints(f *fixture) {
	f.createService(newService("web", map[string]string{"app": "web"}, corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(8080)}))
	f.awaitEndpoints("web")
	a := f.start(f.server("a", withLabels(map[string]string{"app": "web"})))
	f.awaitEndpoints("web", a.Status.PodIP+":8080")
	f.start(f.sleeper("client"))
	f.reaches("http://web/hostname")
	b := f.start(f.server("b", withLabels(map[string]string{"app": "web"})))
	f.awaitEndpoints("web", a.Status.PodIP+":8080", b.Status.PodIP+":8080")
	check(f.pods().Delete(f.ctx, "a", metav1.DeleteOptions{}))
	f.awaitEndpoints("web", b.Status.PodIP+":8080")
	f.reaches("http://web/hostname")
	check(f.pods().Delete(f.ctx, "b", metav1.DeleteOptions{}))
	f.awaitEndpoints("web")
}

func multiPort(f *fixture) {
	f.createService(newService("multi", map[string]string{"app": "web"},
		corev1.ServicePort{Name: "one", Port: 80, TargetPort: intstr.FromString("one")}, corev1.ServicePort{Name: "two", Port: 81, TargetPort: intstr.FromString("two")}))
	f.awaitEndpoints("multi")
	with := func(name, port string, number int32) *corev1.Pod {
		return f.start(f.server(name, withLabels(map[string]string{"app": "web"}), func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Args = []string{"serve", "-http", fmt.Sprintf(":%d", number)}
			c.Ports, c.ReadinessProbe = []corev1.ContainerPort{{Name: port, ContainerPort: number}}, nil
		}))
	}
	a := with("a", "one", 8100)
	f.awaitEndpoints("multi", a.Status.PodIP+":8100")
	b := with("b", "two", 8101)
	f.awaitEndpoints("multi", a.Status.PodIP+":8100", b.Status.PodIP+":8101")
	f.start(f.sleeper("client"))
	f.expect(f.reaches("http://multi:80/hostname") == "a", "another pod answers at the first port")
	f.expect(f.reaches("http://multi:81/hostname") == "b", "another pod answers at the second port")
	check(f.pods().Delete(f.ctx, "a", metav1.DeleteOptions{}))
	f.awaitEndpoints("multi", b.Status.PodIP+":8101")
	check(f.pods().Delete(f.ctx, "b", metav1.DeleteOptions{}))
	f.awaitEndpoints("multi")
}

// endpointLatency: how long after a service its endpoints are there, 100 times.
func endpointLatency(f *fixture) {
	f.start(f.server("a", withLabels(map[string]string{"app": "web"})))
	c := f.kube.DiscoveryV1().EndpointSlices(f.ns)
	w := must(c.Watch(f.ctx, metav1.ListOptions{}))
	defer w.Stop()
	const rounds = 100
	began, took := map[string]time.Time{}, []time.Duration{}
	for i := range rounds {
		name := fmt.Sprintf("latency-%d", i)
		began[name] = time.Now()
		f.createService(newService(name, map[string]string{"app": "web"}, corev1.ServicePort{Port: 80}))
	}
	for len(took) < rounds {
		s, ok := f.next(w, "events of endpoint slices").Object.(*discoveryv1.EndpointSlice)
		name := ""
		if ok {
			name = s.Labels["kubernetes.io/service-name"]
		}
		if at, waiting := began[name]; waiting && len(s.Endpoints) > 0 {
			took = append(took, time.Since(at))
			delete(began, name)
		}
	}
	slices.Sort(took)
	f.Logf("p50 %s, p90 %s, p99 %s", took[rounds/2], took[rounds*9/10], took[rounds*99/100])
	f.expect(took[rounds/2] < 20*time.Second && took[rounds*9/10] < 50*time.Second, "p50 %s, p90 %s", took[rounds/2], took[rounds*9/10])
}

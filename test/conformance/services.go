package conformance

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
)

func serviceTraffic() []behaviour {
	return []behaviour{
		{name: "Kubernetes Service", run: kubernetesService},
		{name: "Find Kubernetes Service in default Namespace", run: findKubernetes},
		{name: "Service, complete ServiceStatus lifecycle", run: serviceStatus},
		{name: "Service, deletes a collection of services", run: serviceCollection},
		{name: "Service, NodePort Service", run: nodePort},
		{name: "Service, change type, ExternalName to ClusterIP", run: fromExternalName(corev1.ServiceTypeClusterIP)},
		{name: "Service, change type, ExternalName to NodePort", run: fromExternalName(corev1.ServiceTypeNodePort)},
		{name: "Service, change type, ClusterIP to ExternalName", run: toExternalName(corev1.ServiceTypeClusterIP)},
		{name: "Service, change type, NodePort to ExternalName", run: toExternalName(corev1.ServiceTypeNodePort)},
		{name: "Service, ClusterIP type, session affinity to ClientIP", run: affinity(corev1.ServiceTypeClusterIP, false)},
		{name: "Service, NodePort type, session affinity to ClientIP", run: affinity(corev1.ServiceTypeNodePort, false)},
		{name: "Service, ClusterIP type, session affinity to None", run: affinity(corev1.ServiceTypeClusterIP, true)},
		{name: "Service, NodePort type, session affinity to None", run: affinity(corev1.ServiceTypeNodePort, true)},
		{name: "Service, should serve endpoints on same port and different protocols.", run: bothProtocols},
		{name: "Networking, intra pod http", run: reachPods("http", false)},
		{name: "Networking, intra pod udp", run: reachPods("udp", false)},
		{name: "Networking, intra pod http, from node", code: "communication: http", run: reachPods("http", true)},
		{name: "Networking, intra pod http, from node", code: "communication: udp", run: reachPods("udp", true)},
		{name: "Proxy through apiserver to a Service", run: proxied},
		{name: "Proxy, validate Proxy responses", run: proxyMethods("")},
		{name: "Proxy, validate ProxyWithPath responses", run: proxyMethods("echo?msg=path")},
		{name: "Scheduling, HostPort matching and HostIP and Protocol not-matching", run: hostPorts},
	}
}

func kubernetesService(f *fixture) {
	s := must(f.kube.CoreV1().Services("default").Get(f.ctx, "kubernetes", metav1.GetOptions{}))
	f.expect(slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 443 && p.Name == "https" }), "ports %v", s.Spec.Ports)
}

func findKubernetes(f *fixture) {
	l := must(f.kube.CoreV1().Services("").List(f.ctx, metav1.ListOptions{}))
	f.expect(slices.ContainsFunc(l.Items, func(s corev1.Service) bool { return s.Name == "kubernetes" && s.Namespace == "default" }), "it is not among %d services", len(l.Items))
}

func serviceStatus(f *fixture) {
	w := must(f.services().Watch(f.ctx, metav1.ListOptions{LabelSelector: "name=web"}))
	defer w.Stop()
	s := newService("web", nil, corev1.ServicePort{Name: "http", Port: 80})
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	f.createService(s)
	f.await(w, watch.Added, "web")
	res := f.dynamic.Resource(v1("", "services")).Namespace(f.ns)
	must(res.Get(f.ctx, "web", metav1.GetOptions{}, "status"))
	got := must(f.services().Patch(f.ctx, "web", types.MergePatchType, []byte(`{"metadata":{"annotations":{"patchedstatus":"true"}},"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}`), metav1.PatchOptions{}, "status"))
	f.expect(len(got.Status.LoadBalancer.Ingress) == 1 && got.Annotations["patchedstatus"] == "true", "status %v", got.Status)
	f.eventually("the update of the status", func() error {
		s, err := f.services().Get(f.ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: "StatusUpdate", Status: metav1.ConditionTrue, Reason: "E2E", Message: "set", LastTransitionTime: metav1.Now()})
		got, err = f.services().UpdateStatus(f.ctx, s, metav1.UpdateOptions{})
		return err
	})
	f.expect(len(got.Status.Conditions) == 1, "conditions %v", got.Status.Conditions)
	got = must(f.services().Patch(f.ctx, "web", types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"service":"patched"}}}`), metav1.PatchOptions{}))
	f.expect(got.Labels["service"] == "patched", "the patch is lost")
	check(f.services().Delete(f.ctx, "web", metav1.DeleteOptions{}))
	f.await(w, watch.Deleted, "web")
}

func serviceCollection(f *fixture) {
	for i := range 3 {
		s := newService(fmt.Sprintf("s-%d", i), nil, corev1.ServicePort{Port: 80})
		s.Labels = map[string]string{"test": f.id, "keep": fmt.Sprint(i == 2)}
		f.createService(s)
	}
	f.expect(len(must(f.services().List(f.ctx, metav1.ListOptions{})).Items) == 3, "not all services are listed")
	check(f.dynamic.Resource(v1("", "services")).Namespace(f.ns).DeleteCollection(f.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "keep=false"}))
	left := must(f.services().List(f.ctx, metav1.ListOptions{})).Items
	f.expect(len(left) == 1 && left[0].Name == "s-2", "left: %d", len(left))
}

// reaches waits until a dial from the pod "client" answers, and returns the answer.
func (f *fixture) reaches(url string) string {
	f.Helper()
	var out string
	f.eventually("reaching "+url, func() (err error) {
		out, err = f.exec("client", "", "/nettool", "dial", "-timeout", "2s", url)
		return err
	})
	return strings.TrimSpace(out)
}

// unreachable waits until a dial fails.
func (f *fixture) unreachable(url string) {
	f.Helper()
	f.eventually("not reaching "+url, func() error {
		_, err := f.exec("client", "", "/nettool", "dial", "-timeout", "1s", url)
		return errUnless(err != nil, "it answers")
	})
}

// startWeb runs ready pods with the label app=web, and the pod "client".
func (f *fixture) startWeb(pods int) {
	f.Helper()
	for i := range pods {
		f.create(f.server(fmt.Sprintf("web-%d", i), withLabels(map[string]string{"app": "web"})))
	}
	f.start(f.sleeper("client"))
	f.awaitReady("web", pods)
}

func webService(kind corev1.ServiceType) *corev1.Service {
	s := newService("web", map[string]string{"app": "web"}, corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)})
	s.Spec.Type = kind
	return s
}

func host(ip string, port int32) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

// viaService reaches a service by its name, its address and, if it has one, its node port.
func viaService(f *fixture, s *corev1.Service) {
	f.reaches("http://web/hostname")
	f.reaches("http://" + host(s.Spec.ClusterIP, 80) + "/hostname")
	if s.Spec.Type != corev1.ServiceTypeNodePort {
		return
	}
	p := must(f.pods().Get(f.ctx, "client", metav1.GetOptions{}))
	f.reaches("http://" + host(p.Status.HostIP, s.Spec.Ports[0].NodePort) + "/hostname")
}

func nodePort(f *fixture) {
	s := f.createService(webService(corev1.ServiceTypeNodePort))
	f.expect(s.Spec.ClusterIP != "" && s.Spec.Ports[0].NodePort != 0, "no address or port: %+v", s.Spec)
	f.startWeb(2)
	viaService(f, s)
}

func fromExternalName(kind corev1.ServiceType) func(*fixture) {
	return func(f *fixture) {
		s := newService("web", map[string]string{"app": "web"})
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "foo.example.com"
		made := f.createService(s)
		f.expect(made.Spec.ClusterIP == "", "an external name has the address %s", made.Spec.ClusterIP)
		f.startWeb(2)
		made = f.changeService("web", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalName, s.Spec.Ports = kind, "", webService(kind).Spec.Ports
		})
		f.expect(made.Spec.ClusterIP != "", "no address was given")
		f.expect(kind != corev1.ServiceTypeNodePort || made.Spec.Ports[0].NodePort != 0, "no node port was given")
		viaService(f, made)
	}
}

func toExternalName(kind corev1.ServiceType) func(*fixture) {
	return func(f *fixture) {
		f.createService(webService(kind))
		f.createService(newService("target", map[string]string{"app": "web"}, corev1.ServicePort{Port: 80, TargetPort: intstr.FromInt32(8080)}))
		f.startWeb(1)
		name := "target." + f.ns + ".svc.cluster.local"
		made := f.changeService("web", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, name
		})
		f.expect(made.Spec.ClusterIP == "", "it still has the address %s", made.Spec.ClusterIP)
		for _, p := range made.Spec.Ports {
			f.expect(p.NodePort == 0, "it still has the node port %d", p.NodePort)
		}
		f.reaches("http://web:80/hostname")
	}
}

// affinity: with ClientIP one pod answers a client; switching shows the difference.
func affinity(kind corev1.ServiceType, switches bool) func(*fixture) {
	return func(f *fixture) {
		s := webService(kind)
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		s = f.createService(s)
		f.startWeb(3)
		url := "http://" + host(s.Spec.ClusterIP, 80) + "/hostname"
		if kind == corev1.ServiceTypeNodePort {
			url = "http://" + host(must(f.pods().Get(f.ctx, "client", metav1.GetOptions{})).Status.HostIP, s.Spec.Ports[0].NodePort) + "/hostname"
		}
		viaService(f, s)
		answers(f, url, true)
		if !switches {
			return
		}
		f.changeService("web", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityNone })
		answers(f, url, false)
		f.changeService("web", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
		answers(f, url, true)
	}
}

// answers waits until 15 requests in a row are answered by one pod, or by several.
func answers(f *fixture, url string, byOne bool) {
	f.eventually(fmt.Sprintf("answers by one pod: %t", byOne), func() error {
		out, err := f.exec("client", "", "/nettool", "dial", "-n", "15", "-timeout", "2s", url)
		if err != nil {
			return err
		}
		names := strings.Fields(out)
		slices.Sort(names)
		n := len(slices.Compact(names))
		return errUnless((n == 1) == byOne, "%d pods answered", n)
	})
}

func bothProtocols(f *fixture) {
	tcp := corev1.ServicePort{Name: "tcp", Port: 90, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8082)}
	udp := corev1.ServicePort{Name: "udp", Port: 90, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(8081)}
	s := f.createService(newService("both", map[string]string{"app": "web"}, tcp, udp))
	f.startWeb(1)
	at := host(s.Spec.ClusterIP, 90)
	f.reaches("tcp://" + at)
	f.reaches("udp://" + at)
	f.changeService("both", func(s *corev1.Service) { s.Spec.Ports = []corev1.ServicePort{tcp} })
	f.unreachable("udp://" + at)
	f.reaches("tcp://" + at)
	f.changeService("both", func(s *corev1.Service) { s.Spec.Ports = []corev1.ServicePort{udp} })
	f.unreachable("tcp://" + at)
	f.reaches("udp://" + at)
}

// reachPods: each pod is reached at its own address, from a pod or from a node.
func reachPods(scheme string, fromNode bool) func(*fixture) {
	return func(f *fixture) {
		for i := range 3 {
			f.create(f.server(fmt.Sprintf("web-%d", i), withLabels(map[string]string{"app": "web"})))
		}
		client := f.sleeper("client")
		if fromNode {
			onHostNetwork(client)
		}
		f.start(client)
		for _, p := range f.awaitReady("web", 3) {
			url := "http://" + host(p.Status.PodIP, 8080) + "/hostname"
			if scheme == "udp" {
				url = "udp://" + host(p.Status.PodIP, 8081)
			}
			got := f.reaches(url)
			f.expect(got == p.Name, "%s answers at the address of %s", got, p.Name)
		}
	}
}

// via asks through the API server.
func via(f *fixture, method, kind, name, path string) (int, string) {
	path, query, _ := strings.Cut(path, "?")
	r := f.kube.CoreV1().RESTClient().Verb(method).Namespace(f.ns).Resource(kind).Name(name).SubResource("proxy").Suffix(path)
	if k, v, ok := strings.Cut(query, "="); ok {
		r = r.Param(k, v)
	}
	var code int
	res := r.Do(f.ctx).StatusCode(&code)
	raw, _ := res.Raw()
	return code, string(raw)
}

func proxied(f *fixture) {
	f.startWeb(1)
	s := webService(corev1.ServiceTypeClusterIP)
	s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "named", Port: 81, TargetPort: intstr.FromString("http")})
	f.createService(s)
	for kind, names := range map[string][]string{
		"services": {"web:http", "web:80", "web:named", "web:81", "http:web:http", "http:web:80"},
		"pods":     {"web-0:8080", "http:web-0:8080", "web-0"},
	} {
		for _, n := range names {
			f.eventually("an answer of "+kind+" "+n, func() error {
				code, text := via(f, "GET", kind, n, "hostname")
				return errUnless(code == http.StatusOK && text == "web-0", "%d %s", code, text)
			})
		}
	}
}

func proxyMethods(path string) func(*fixture) {
	return func(f *fixture) {
		f.startWeb(1)
		f.createService(webService(corev1.ServiceTypeClusterIP))
		for kind, name := range map[string]string{"services": "http:web:http", "pods": "http:web-0:8080"} {
			for _, m := range []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"} {
				f.eventually(m+" of "+kind, func() error {
					code, text := via(f, m, kind, name, path)
					return errUnless(code == http.StatusOK && (path == "" || m == "HEAD" || text == "path"), "%d %q", code, text)
				})
			}
		}
	}
}

// hostPorts: the same port of a node, at other addresses or protocols, for three pods.
func hostPorts(f *fixture) {
	first := f.start(f.sleeper("first", hostPort("127.0.0.1", corev1.ProtocolTCP)))
	onNode := func(p *corev1.Pod) {
		p.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": first.Spec.NodeName}
	}
	f.start(f.sleeper("second", onNode, hostPort(first.Status.HostIP, corev1.ProtocolTCP)))
	f.start(f.sleeper("third", onNode, hostPort(first.Status.HostIP, corev1.ProtocolUDP)))
}

const sharedHostPort = 54323

func hostPort(ip string, protocol corev1.Protocol) option {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: sharedHostPort, ContainerPort: 8080, HostIP: ip, Protocol: protocol}}
	}
}

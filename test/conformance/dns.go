package conformance

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func names() []behaviour {
	return []behaviour{
		{name: "DNS, cluster", code: "provide DNS for the cluster", run: dnsCluster},
		{name: "DNS, cluster", code: "/etc/hosts", run: dnsHosts},
		{name: "DNS, services", run: dnsServices},
		{name: "DNS, PQDN for services", run: dnsPartial},
		{name: "DNS, resolve the hostname", run: dnsHostname},
		{name: "DNS, resolve the subdomain", run: dnsHostname},
		{name: "DNS, for ExternalName Services", run: dnsExternal},
		{name: "DNS, custom dnsConfig", run: dnsConfig},
	}
}

const zone = ".svc.cluster.local"

// resolves waits until a name has this address (or text) in the answer that the pod "client" gets.
func (f *fixture) resolves(name, kind, want string) {
	f.Helper()
	f.eventually("resolving "+name, func() error {
		out, err := f.exec("client", "", "nslookup", "-type="+kind, name)
		if err != nil {
			return err
		}
		return errUnless(strings.Contains(out, want), "the answer lacks %s: %s", want, out)
	})
}

func dnsCluster(f *fixture) {
	f.start(f.sleeper("client"))
	f.resolves("kubernetes.default"+zone, "a", must(f.kube.CoreV1().Services("default").Get(f.ctx, "kubernetes", metav1.GetOptions{})).Spec.ClusterIP)
	// By the search path too, over UDP and as programs resolve.
	out := f.mustExec("client", "sh", "-c", "nslookup kubernetes.default."+"svc.cluster.local. >/dev/null && wget -q -T 5 -O- http://kubernetes.default:443 2>&1 || true")
	f.expect(!strings.Contains(out, "bad address"), "kubernetes.default is not found: %s", out)
}

func dnsHosts(f *fixture) {
	p := f.start(f.sleeper("client", func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "querier", "sub" }))
	out := f.mustExec("client", "cat", "/etc/hosts")
	f.says(out, p.Status.PodIP+"\tquerier.sub."+f.ns+zone+"\tquerier")
}

func dnsServices(f *fixture) {
	a := f.start(f.server("a", withLabels(map[string]string{"app": "web"})))
	s := f.createService(webService(corev1.ServiceTypeClusterIP))
	h := newService("headless", map[string]string{"app": "web"}, corev1.ServicePort{Name: "http", Port: 8080})
	h.Spec.ClusterIP = corev1.ClusterIPNone
	f.createService(h)
	f.start(f.sleeper("client"))
	f.resolves("web."+f.ns+zone, "a", s.Spec.ClusterIP)
	f.resolves("headless."+f.ns+zone, "a", a.Status.PodIP)
	f.resolves("_http._tcp.web."+f.ns+zone, "srv", "80 web."+f.ns+zone)
	f.resolves("_http._tcp.headless."+f.ns+zone, "srv", "headless."+f.ns+zone)
	parts := strings.Split(s.Spec.ClusterIP, ".")
	f.resolves(parts[3]+"."+parts[2]+"."+parts[1]+"."+parts[0]+".in-addr.arpa", "ptr", "web."+f.ns+zone)
}

// dnsPartial resolves as programs do, by the search path.
func dnsPartial(f *fixture) {
	a := f.start(f.server("a", withLabels(map[string]string{"app": "web"})))
	f.createService(webService(corev1.ServiceTypeClusterIP))
	h := newService("headless", map[string]string{"app": "web"}, corev1.ServicePort{Name: "http", Port: 8080})
	h.Spec.ClusterIP = corev1.ClusterIPNone
	f.createService(h)
	f.start(f.sleeper("client"))
	for _, name := range []string{"web", "web." + f.ns, "web." + f.ns + ".svc", "web." + f.ns + zone} {
		f.expect(f.reaches("http://"+name+"/hostname") == a.Name, "another pod answers to %s", name)
	}
	for _, name := range []string{"headless", "headless." + f.ns, "headless." + f.ns + ".svc"} {
		f.expect(f.reaches("http://"+name+":8080/hostname") == a.Name, "another pod answers to %s", name)
	}
}

// dnsHostname: a pod with hostname and subdomain is found by them.
func dnsHostname(f *fixture) {
	h := newService("sub", map[string]string{"app": "web"}, corev1.ServicePort{Name: "http", Port: 8080})
	h.Spec.ClusterIP = corev1.ClusterIPNone
	f.createService(h)
	a := f.start(f.server("a", withLabels(map[string]string{"app": "web"}), func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "querier", "sub" }))
	f.start(f.sleeper("client"))
	f.resolves("querier.sub."+f.ns+zone, "a", a.Status.PodIP)
	f.resolves("sub."+f.ns+zone, "a", a.Status.PodIP)
	f.says(f.mustExec("a", "cat", "/etc/hosts"), a.Status.PodIP+"\tquerier.sub."+f.ns+zone+"\tquerier")
	f.says(f.mustExec("a", "hostname", "-f"), "querier.sub."+f.ns+zone)
}

func dnsExternal(f *fixture) {
	s := newService("web", nil)
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "foo.example.com"
	f.createService(s)
	f.start(f.sleeper("client"))
	f.resolves("web."+f.ns+zone, "cname", "foo.example.com")
	f.changeService("web", func(s *corev1.Service) { s.Spec.ExternalName = "bar.example.com" })
	f.resolves("web."+f.ns+zone, "cname", "bar.example.com")
	made := f.changeService("web", func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeClusterIP, ""
		s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}
	})
	f.resolves("web."+f.ns+zone, "a", made.Spec.ClusterIP)
}

func dnsConfig(f *fixture) {
	f.start(f.sleeper("client", func(p *corev1.Pod) {
		p.Spec.DNSPolicy = corev1.DNSNone
		p.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"203.0.113.53"}, Searches: []string{"resolv.conf.local"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: to("2")}}}
	}))
	got := strings.Fields(f.mustExec("client", "cat", "/etc/resolv.conf"))
	f.expect(strings.Join(got, " ") == "search resolv.conf.local nameserver 203.0.113.53 options ndots:2" || strings.Join(got, " ") == "nameserver 203.0.113.53 search resolv.conf.local options ndots:2", "resolv.conf: %v", got)
}

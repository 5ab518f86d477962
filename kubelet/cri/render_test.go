package cri

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// golden compares with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: %s", name, d)
	}
}

func TestDNS(t *testing.T) {
	d := DNS{Servers: []string{"10.0.0.10"}, Domain: "cluster.local", Host: ParseResolvConf("# host\nnameserver 1.1.1.1\nsearch corp.example.\noptions edns0\n")}
	var b strings.Builder
	for _, c := range []struct {
		policy v1.DNSPolicy
		host   bool
		config *v1.PodDNSConfig
	}{
		{v1.DNSClusterFirst, false, nil}, {v1.DNSClusterFirst, true, nil}, {v1.DNSClusterFirstWithHostNet, true, nil}, {v1.DNSDefault, false, nil},
		{v1.DNSNone, false, &v1.PodDNSConfig{Nameservers: []string{"9.9.9.9"}, Searches: []string{"a"}, Options: []v1.PodDNSConfigOption{{Name: "x"}}}},
		{v1.DNSClusterFirst, false, &v1.PodDNSConfig{Searches: []string{"b"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: new("2")}, {Name: "debug"}}}},
	} {
		got := d.Config(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}, Spec: v1.PodSpec{DNSPolicy: c.policy, HostNetwork: c.host, DNSConfig: c.config}})
		b.WriteString(string(c.policy))
		if c.host {
			b.WriteString(" on the host's network")
		}
		b.WriteString("\n  " + strings.Join(got.Servers, " ") + "\n  " + strings.Join(got.Searches, " ") + "\n  " + strings.Join(got.Options, " ") + "\n")
	}
	golden(t, "dns", b.String())
}

// TestDNSWarnings: what a resolver cannot have is told.
func TestDNSWarnings(t *testing.T) {
	many := &v1.PodDNSConfig{Nameservers: []string{"1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"}}
	for i := range 40 {
		many.Searches = append(many.Searches, fmt.Sprintf("s%d.example", i))
	}
	cluster := DNS{Servers: []string{"10.0.0.10"}, Domain: "cluster.local"}
	for _, c := range []struct {
		dns  DNS
		spec v1.PodSpec
		want []string
	}{
		{cluster, v1.PodSpec{DNSPolicy: v1.DNSClusterFirst}, nil},
		{DNS{}, v1.PodSpec{DNSPolicy: v1.DNSDefault}, nil},
		{DNS{}, v1.PodSpec{DNSPolicy: v1.DNSClusterFirst, HostNetwork: true}, nil},
		{DNS{}, v1.PodSpec{DNSPolicy: v1.DNSClusterFirst}, []string{"MissingClusterDNS pod: \"p_ns(u)\"."}},
		{DNS{}, v1.PodSpec{DNSPolicy: v1.DNSClusterFirstWithHostNet, HostNetwork: true}, []string{"MissingClusterDNS pod: \"p_ns(u)\"."}},
		{cluster, v1.PodSpec{DNSPolicy: v1.DNSNone, DNSConfig: many}, []string{
			"DNSConfigForming Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3",
			"DNSConfigForming Search Line limits were exceeded, some search paths have been omitted, the applied search line is: s0.example"}},
	} {
		got := c.dns.Warnings(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}, Spec: c.spec})
		ok := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			ok = ok && strings.HasPrefix(got[i].Reason+" "+got[i].Message, c.want[i])
		}
		if !ok {
			t.Errorf("%v: %q, want %q", c.spec.DNSPolicy, got, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "ns"}, Spec: v1.PodSpec{Subdomain: "web",
		HostAliases: []v1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}}}}
	text := string(Hosts(pod, []string{"10.1.0.5", "fd00::5"}, "cluster.local", nil))
	pod.Spec.HostNetwork, pod.Spec.HostAliases = true, nil
	golden(t, "hosts", text+"---\n"+string(Hosts(pod, nil, "cluster.local", []byte("127.0.0.1 localhost node\n"))))
}

func TestEnv(t *testing.T) {
	svc := func(ns, name, ip string, ports ...v1.ServicePort) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1.ServiceSpec{ClusterIP: ip, Ports: ports}}
	}
	src := EnvSource{
		ConfigMap: func(name string) (*v1.ConfigMap, error) {
			if name != "cm" {
				return nil, nil
			}
			return &v1.ConfigMap{Data: map[string]string{"k": "v", "z": "y"}}, nil
		},
		Secret:   func(string) (*v1.Secret, error) { return nil, nil },
		Services: []*v1.Service{svc("default", "kubernetes", "10.0.0.1", v1.ServicePort{Name: "https", Port: 443}), svc("ns", "my-db", "10.0.0.7", v1.ServicePort{Port: 5432, Protocol: "TCP"}), svc("ns", "headless", "None", v1.ServicePort{Port: 1})},
	}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"app": "x"}}, Status: v1.PodStatus{PodIP: "10.1.0.5"}}
	c := &v1.Container{Name: "c", Resources: v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: resource.MustParse("1500m")}},
		EnvFrom: []v1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}},
			{SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "no"}, Optional: new(true)}}},
		Env: []v1.EnvVar{
			{Name: "A", Value: "1"}, {Name: "B", Value: "$(A) $(MY_DB_SERVICE_HOST) $(NOPE) $$(A) $"},
			{Name: "IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "APP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
			{Name: "CPU", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "P_k", Value: "over"},
		}}
	pod.Spec.Containers = []v1.Container{*c}
	env, _, err := Env(pod, c, src)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, kv := range env {
		b.WriteString(kv.Key + "=" + string(kv.Value) + "\n")
	}
	golden(t, "env", b.String())
	c.Env = []v1.EnvVar{{Name: "X", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "no"}, Key: "k"}}}}
	if _, _, err := Env(pod, c, src); err == nil || err.Error() != `secret "no" not found` {
		t.Errorf("missing secret: %v", err)
	}
}

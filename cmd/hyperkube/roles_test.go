package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"hyperkube/cluster"
	"hyperkube/kubelet"
)

func runLine(t *testing.T, line string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := root(strings.Fields(line))
	c.SetOut(io.Discard)
	c.SetErr(io.Discard)
	return c.ExecuteContext(ctx)
}

// TestRefusals: what is missing, wrong or not supported is one line that names
// the flag, whatever the role.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	conf := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kubelet := "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
	scheduler := "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
	proxy := "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
	const api = "kube-apiserver --etcd-servers=http://127.0.0.1:1 --tls-cert-file=/no.crt --tls-private-key-file=/no.key --service-account-issuer=https://a --service-account-signing-key-file=/no.key "
	for _, c := range []struct{ line, want string }{
		{"kube-apiserver", "--etcd-servers is missing"},
		{"kube-apiserver --etcd-servers=http://127.0.0.1:1", "--tls-cert-file is missing"},
		{api, "--service-account-signing-key-file: open /no.key"},
		{api + "--etcd-certfile=/a.crt", "--etcd-certfile and --etcd-keyfile belong together"},
		{api + "--bind-address=home", `--bind-address "home": want an address`},
		{api + "--secure-port=0", "--secure-port 0: want a port"},
		{api + "--oidc-issuer-url=https://a", "--oidc-issuer-url"},
		{api + "--feature-gates=A=true", "--feature-gates"},
		{api + "--audit-policy-file=/p", "--audit-policy-file"},
		{api + "--enable-bootstrap-token-auth", "--enable-bootstrap-token-auth"},
		{api + "--authorization-mode=AlwaysAllow --anonymous-auth", "would let everybody do everything"},
		{api + "--authorization-mode=RBAC,AlwaysAllow --anonymous-auth", "would let everybody do everything"},
		{api + "--authorization-mode=rbac", `--authorization-mode "rbac" is not a valid mode: there are AlwaysAllow, AlwaysDeny, ABAC, Webhook, RBAC, Node`},
		{api + "--authorization-mode=RBAC,RBAC", `"RBAC" has mode specified more than once`},
		{api + "--authorization-mode=", "at least one authorization-mode"},
		{api + "--authorization-mode=ABAC", "--authorization-mode=ABAC needs --authorization-policy-file"},
		{api + "--authorization-mode=ABAC --authorization-policy-file=" + conf("a1", "{}"), "line 1: want apiVersion abac.authorization.kubernetes.io/v1beta1"},
		{api + "--authorization-policy-file=/p", "cannot specify --authorization-policy-file without mode ABAC"},
		{api + "--authorization-mode=Node,Webhook", "--authorization-mode=Webhook needs --authorization-webhook-config-file"},
		{api + "--authorization-webhook-config-file=/p", "without mode Webhook"},
		// The modes are good: what is refused is the next thing.
		{api + "--authorization-mode=RBAC", "--service-account-signing-key-file: open /no.key"},
		{api + "--authorization-mode=Node", "--service-account-signing-key-file: open /no.key"},
		{api + "--authorization-mode=RBAC,Node", "--service-account-signing-key-file: open /no.key"},
		{api + "--authorization-mode=AlwaysDeny", "--service-account-signing-key-file: open /no.key"},
		{api + "--authorization-mode=AlwaysAllow,AlwaysDeny,RBAC", "--service-account-signing-key-file: open /no.key"},
		{api + "--authorization-mode=Webhook,Node --authorization-webhook-config-file=/p", "--service-account-signing-key-file: open /no.key"},
		{api + "--authorization-mode=ABAC,RBAC --authorization-policy-file=" + conf("a2", "# none"), "--service-account-signing-key-file: open /no.key"},
		{api + "--nonsense", "unknown flag: --nonsense"},
		{api + "more", "unknown command \"more\""},
		{"kube-controller-manager --kubeconfig=/no --controllers=*,-deploy", `--controllers: "-deploy" is none of *`},
		{"kube-controller-manager --kubeconfig=/no", "--kubeconfig /no"},
		{"kube-controller-manager --allocate-node-cidrs", "--cluster-cidr is missing"},
		{"kube-controller-manager --allocate-node-cidrs --cluster-cidr=10.0.0.0/16 --node-cidr-mask-size=12", "--node-cidr-mask-size 12 does not fit into --cluster-cidr 10.0.0.0/16"},
		{"kube-controller-manager --allocate-node-cidrs --cluster-cidr=fd00::/72", "--node-cidr-mask-size-ipv6 64 does not fit"},
		{"kube-controller-manager --cluster-cidr=10.0.0.0", `--cluster-cidr "10.0.0.0"`},
		{"kube-controller-manager --cluster-signing-cert-file=/a", "--cluster-signing-cert-file"},
		{"kube-controller-manager --concurrent-job-syncs=none", "--concurrent-job-syncs"},
		{"kube-controller-manager", "--kubeconfig is missing"},
		{"kube-scheduler --config=/no", "--config: open /no"},
		{"kube-scheduler --config=" + conf("s1", "kind: Pod"), "want apiVersion kubescheduler.config.k8s.io/v1, kind KubeSchedulerConfiguration"},
		{"kube-scheduler --config=" + conf("s2", scheduler+"profiles: [{schedulerName: a, plugins: {}}]"), `unknown field "profiles[0].plugins"`},
		{"kube-scheduler --config=" + conf("s3", scheduler+"leaderElection: {resourceLock: endpoints}"), "leaderElection.resourceLock"},
		{"kube-scheduler --leader-elect-resource-lock=endpoints", "only leases is supported"},
		{"kubelet", "--kubeconfig is missing"},
		{"kubelet --kubeconfig=/no --node-ip=home", `--node-ip "home"`},
		{"kubelet --kubeconfig=/no --register-with-taints=a", "--register-with-taints \"a\""},
		{"kubelet --kubeconfig=/no --container-runtime-endpoint=docker", "--container-runtime-endpoint \"docker\""},
		{"kubelet --kubeconfig=/no --hostname-override=my_node", `"my_node" cannot be the name of a node`},
		{"kube-proxy --kubeconfig=/no --hostname-override=-a", "--hostname-override"},
		{"hyperkube network --kubeconfig=/no --cluster-cidr=10.0.0.0/8 --node-name=" + strings.Repeat("a", 64), "at most 63 characters; say another with --node-name"},
		{"kubelet --kubeconfig=/no --container-runtime-endpoint=/" + strings.Repeat("a", 107), "107 are the most"},
		{"hyperkube containerd config --config " + dir + "/c.toml --libexec " + dir + " --state=/" + strings.Repeat("a", 60), "containerd's state directory"},
		{"hyperkube status --data-dir here", "absolute path"},
		{"hyperkube down --data-dir here", "absolute path"},
		{"hyperkube image list --data-dir here", "absolute path"},
		{"hyperkube reset --yes --data-dir /", "root directory"},
		{"kubelet --kubeconfig=/no --cgroup-driver=systemd", "--cgroup-driver"},
		{"kubelet --kubeconfig=/no --system-reserved=gold=1", `--system-reserved: "gold"`},
		{"kubelet --kubeconfig=/no --eviction-hard=memory.available<1Gi", "--eviction-hard"},
		{"kubelet --config=" + conf("k1", kubelet+"maxPod: 3"), `unknown field "maxPod"`},
		{"kubelet --config=" + conf("k2", kubelet+"cgroupDriver: systemd"), `cgroupDriver: "systemd" is not supported, only "cgroupfs"`},
		{"kubelet --config=" + conf("k3", kubelet+"evictionHard: {memory.available: 1Gi}"), "evictionHard is not supported"},
		{"kubelet --config=" + conf("k4", kubelet+"authentication: {anonymous: {enabled: true}}"), "authentication.anonymous"},
		{"kube-proxy --proxy-mode=ipvs", `--proxy-mode "ipvs" is not supported: services are rules in nftables`},
		{"kube-proxy --healthz-bind-address=home:1", `--healthz-bind-address "home:1"`},
		{"kube-proxy --config=" + conf("p1", proxy+"mode: iptables"), "nftables"},
		{"kube-proxy --config=" + conf("p2", proxy+"winkernel: {}"), `unknown field "winkernel"`},
		{"kube-proxy", "--kubeconfig is missing"},
		{"hyperkube network", "--cluster-cidr is missing"},
	} {
		err := runLine(t, c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\n got %v\nwant one line with %s", c.line, err, c.want)
		}
	}
}

// TestAccepted: the command lines that installers write are understood.
func TestAccepted(t *testing.T) {
	for _, line := range []string{
		`apiserver --advertise-address=10.0.0.1 --allow-privileged=true --authorization-mode=Node,RBAC --client-ca-file=/ca --enable-admission-plugins=NodeRestriction
		 --etcd-cafile=/ca --etcd-certfile=/c --etcd-keyfile=/k --etcd-servers=https://127.0.0.1:2379 --kubelet-client-certificate=/c --kubelet-client-key=/k
		 --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname --proxy-client-cert-file=/c --proxy-client-key-file=/k --requestheader-allowed-names=front-proxy-client
		 --requestheader-client-ca-file=/ca --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group
		 --requestheader-username-headers=X-Remote-User --secure-port=6443 --service-account-issuer=https://a --service-account-key-file=/p
		 --service-account-signing-key-file=/k --service-cluster-ip-range=10.96.0.0/12 --tls-cert-file=/c --tls-private-key-file=/k --profiling=false -v=2`,
		`controller-manager --allocate-node-cidrs=true --authentication-kubeconfig=/c --authorization-kubeconfig=/c --bind-address=127.0.0.1 --client-ca-file=/ca
		 --cluster-cidr=10.244.0.0/16 --cluster-name=kubernetes --controllers=*,-cronjob-controller --kubeconfig=/c --leader-elect=true
		 --requestheader-client-ca-file=/ca --root-ca-file=/ca --service-account-private-key-file=/k --service-cluster-ip-range=10.96.0.0/12
		 --use-service-account-credentials=true --concurrent-deployment-syncs=10 --node-monitor-grace-period=40s --tls-min-version VersionTLS13`,
		`scheduler --authentication-kubeconfig=/c --authorization-kubeconfig=/c --bind-address=127.0.0.1 --kubeconfig=/c --leader-elect=true --secure-port 10259`,
		`kubelet --kubeconfig=/c --config=/k --container-runtime-endpoint=unix:///run/containerd/containerd.sock --node-ip=10.0.0.1 --node-labels=a=b,c=d
		 --pod-infra-container-image=x --rotate-certificates=false --register-with-taints=a=b:NoSchedule --root_dir=/x --fail-swap-on=false --cgroup-driver=cgroupfs`,
		`proxy --config=/c --hostname-override=n --nodeport-addresses=10.0.0.0/8 --cleanup=false`,
	} {
		args := strings.Fields(line)
		c, rest, err := root([]string{"hyperkube"}).Find(args)
		if err != nil {
			t.Fatal(err)
		}
		c.Flags().SetOutput(io.Discard)
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", args[0], err)
		}
	}
}

// TestKubeletConfiguration: the file counts, a flag counts more, and what tools
// write without meaning anything does not matter.
func TestKubeletConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.yaml")
	const text = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {cacheTTL: 0s, enabled: true}, x509: {clientCAFile: /ca}}
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}}
clusterDNS: [10.96.0.10]
clusterDomain: example.org
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
evictionPressureTransitionPeriod: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
imageMaximumGCAge: 0s
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
maxPods: 50
memorySwap: {}
port: 11250
podPidsLimit: 100
registerWithTaints: [{key: a, effect: NoSchedule}]
resolvConf: /run/resolv.conf
serializeImagePulls: true
staticPodPath: /manifests
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var (
		v      kubeletFlags
		o      kubelet.Options
		client cluster.Client
	)
	c, f := roleCommand("kubelet", "", func(*cobra.Command) error { return nil })
	v.node(f, &o)
	v.pods(f, &o)
	v.server(f, &o)
	if err := c.ParseFlags([]string{"--max-pods=7", "--hostname-override=N1"}); err != nil {
		t.Fatal(err)
	}
	v.config, v.clientCA = path, ""
	if err := v.readConfig(c.Flags(), &o, &client); err != nil {
		t.Fatal(err)
	}
	if v.clientCA != "/ca" {
		t.Errorf("client CA %q", v.clientCA)
	}
	v.clientCA = ""
	o.Log = roleLog("kubelet", 0)
	if err := v.fill(&o); err != nil {
		t.Fatal(err)
	}
	if o.MaxPods != 7 || o.Port != 11250 || o.PodPIDs != 100 || o.ParallelPulls != 1 || o.NodeName != "n1" || o.ManifestDir != "/manifests" ||
		o.ResolvConf != "/run/resolv.conf" || o.Domain != "example.org" || len(o.Taints) != 1 || len(o.ClusterDNS) != 1 ||
		o.RuntimeEndpoint != "/run/containerd/containerd.sock" || o.LogLinkDir != "/var/log/containers" {
		t.Errorf("%+v", o)
	}
}

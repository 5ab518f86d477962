package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hyperkube/cluster"
	"hyperkube/internal/pki"
	"hyperkube/store/seal"
	"hyperkube/test/harness"
)

// separate is a cluster whose roles are processes of their own, started with the
// flags of the standard daemons. Its files lie where `hyperkube reset` looks.
type separate struct {
	*harness.Cluster
	t *testing.T
	p cluster.Paths
	l pki.Layout

	running []*process
}

const (
	rolesNode    = "node-1"
	rolesPods    = "10.245.0.0/16"
	rolesService = "10.97.0.0/16"
	rolesURL     = "https://192.0.2.10:6443"
)

// TestRoles runs a Deployment behind a Service on a cluster without `up`.
func TestRoles(t *testing.T) {
	began := time.Now()
	s := newSeparate(t)
	s.serve("etcd", "--data-dir", s.p.Etcd, "--listen-client-urls", "https://127.0.0.1:2379", "--advertise-client-urls", "https://127.0.0.1:2379",
		"--cert-file="+s.l.Cert(pki.NameEtcdServer), "--key-file="+s.l.Key(pki.NameEtcdServer), "--trusted-ca-file="+s.l.Cert(pki.NameEtcdCA), "--client-cert-auth",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380")
	containerd := s.serve("containerd", "--config", s.containerdConfig())
	api := s.serve("kube-apiserver", s.apiserverFlags()...)
	s.serve("kube-controller-manager", "--kubeconfig", s.l.Kubeconfig(pki.ConfControllerManager), "--allocate-node-cidrs", "--cluster-cidr="+rolesPods,
		"--service-cluster-ip-range="+rolesService, "--root-ca-file="+s.l.Cert(pki.NameCA), "--service-account-private-key-file="+s.l.ServiceAccountKey(),
		"--use-service-account-credentials=true", "--leader-elect", "--controllers=*,-cronjob-controller")
	s.serve("kube-scheduler", "--config", s.file("scheduler.yaml", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"+
		"clientConnection: {kubeconfig: "+s.l.Kubeconfig(pki.ConfScheduler)+"}\nprofiles: [{schedulerName: default-scheduler}]\n"))
	s.importImages()
	kubeletFlags := []string{"--kubeconfig", s.l.Kubeconfig(pki.ConfKubelet), "--config", s.kubeletConfig(),
		"--root-dir=" + s.p.Kubelet, "--hostname-override=" + rolesNode, "--node-ip=192.0.2.10", "--node-labels=disk=fast", "--v=2"}
	kubelet := s.serve("kubelet", kubeletFlags...)
	s.serve("network", "--kubeconfig", s.l.Kubeconfig(pki.ConfProxy), "--node-name="+rolesNode, "--cluster-cidr="+rolesPods, "--cni-conf-dir="+s.p.CNIConf,
		"--state-dir="+s.p.CNIState, "--container-runtime-endpoint=unix://"+s.p.Socket)
	s.serve("kube-proxy", "--kubeconfig", s.l.Kubeconfig(pki.ConfProxy), "--hostname-override="+rolesNode, "--cluster-cidr="+rolesPods, "--proxy-mode=nftables")
	s.Connect()
	s.walk()
	t.Logf("from nothing to an answer: %s", time.Since(began).Round(100*time.Millisecond))
	s.ports()
	s.memory()
	// Roles outlive the API server, and containers the kubelet and containerd, which finds them again.
	before := s.Kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}")
	api.kill()
	kubelet.kill()
	containerd.kill()
	s.serve("containerd", "--config", filepath.Join(s.p.Containerd, "config.toml"))
	s.serve("kube-apiserver", s.apiserverFlags()...)
	s.serve("kubelet", kubeletFlags...)
	s.Eventually(30*time.Second, "API again", func() error {
		_, err := s.TryKubectl("scale", "deployment/web", "--replicas=3")
		return err
	})
	s.Kubectl("rollout", "status", "deployment/web", "--timeout=40s")
	after := s.Kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}")
	for _, id := range strings.Fields(before) {
		if !strings.Contains(after, id) {
			t.Errorf("container %s is gone", id)
		}
	}
	if counts := s.Kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); counts != "0 0 0" {
		t.Errorf("restarts of the three pods' containers: %s", counts)
	}
	s.Kubectl("delete", "deployment,service", "web", "--wait")
	s.Eventually(30*time.Second, "pods gone", func() error {
		out, err := s.TryKubectl("get", "pods", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New(out)
		}
		return err
	})
}

func newSeparate(t *testing.T) *separate {
	h := harness.NewHost(t)
	s := &separate{Cluster: harness.Bare(t, h), t: t}
	s.p, s.l = cluster.PathsOf(s.DataDir), pki.NewLayout(s.DataDir)
	for _, dir := range []string{s.p.Data, s.p.Run, s.p.Etcd, s.p.Containerd, filepath.Dir(s.p.Log)} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	// What makes the folder a cluster's, for reset.
	s.file("cluster.json", `{"bridge": "cbr0"}`)
	ip := net.ParseIP(s.Addr)
	_, err := pki.Ensure(pki.Options{
		Layout: s.l, Server: rolesURL, IPs: []net.IP{ip}, ServiceIP: net.IPv4(10, 97, 0, 1), Now: time.Now(),
		Nodes: []pki.Node{{Name: rolesNode, IPs: []net.IP{ip}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *separate) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.DataDir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// process is a role that runs.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	out   *record
	ended chan error
}

// serve starts a role under the standard daemon's name and stops it when the test
// ends. A role that ends by itself fails the test.
func (s *separate) serve(name string, args ...string) *process {
	s.t.Helper()
	command := []string{s.Bin, name}
	if link := filepath.Join(s.Dir, name); name != "network" {
		if err := os.Symlink(s.Bin, link); err != nil && !errors.Is(err, os.ErrExist) {
			s.t.Fatal(err)
		}
		command = []string{link}
	}
	p := &process{t: s.t, name: name, cmd: s.Command(context.Background(), append(command, args...)...), out: &record{}, ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The signal above comes when this thread ends, not when the test does.
		goruntime.LockOSThread()
		defer goruntime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.ended <- p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.stop)
	s.running = append(s.running, p)
	return p
}

// memory logs what each role takes; pages that several map are counted in parts.
func (s *separate) memory() {
	for _, p := range s.running {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
		if err != nil {
			s.t.Error(err)
			continue
		}
		for line := range strings.Lines(string(b)) {
			if kb, ok := strings.CutPrefix(line, "Pss:"); ok {
				s.t.Logf("%-24s %s", p.name, strings.TrimSpace(kb))
			}
		}
	}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
	close(p.ended)
}

// stop asks the process to end and judges what it said.
func (p *process) stop() {
	select {
	case err, ok := <-p.ended:
		if ok {
			p.t.Errorf("%s ended by itself: %v", p.name, err)
		}
	default:
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-p.ended:
			if err != nil {
				p.t.Errorf("%s, told to stop: %v", p.name, err)
			}
		case <-time.After(20 * time.Second):
			p.t.Errorf("%s did not stop", p.name)
			p.cmd.Process.Kill()
			<-p.ended
		}
	}
	text := p.out.String()
	switch {
	case p.t.Failed():
		p.t.Logf("--- %s\n%s", p.name, text)
	case forbidden(text):
		p.t.Errorf("%s may not do what it tries:\n%s", p.name, text)
	case strings.Contains("\n"+text, "\nE1") || strings.Contains("\n"+text, "\nW1") || strings.Contains("\n"+text, "\nI1"):
		p.t.Errorf("%s logs lines that are not structured:\n%s", p.name, text)
	}
}

// record keeps what a process says.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (s *separate) containerdConfig() string {
	s.t.Helper()
	path := filepath.Join(s.p.Containerd, "config.toml")
	s.Run(20*time.Second, s.Bin, "containerd", "config", "--config", path, "--libexec", s.p.Libexec, "--root", filepath.Join(s.p.Containerd, "root"),
		"--state", filepath.Join(s.p.Run, "containerd"), "--address", s.p.Socket, "--cni-conf-dir", s.p.CNIConf)
	return path
}

// importImages puts the images into containerd once it answers.
func (s *separate) importImages() {
	s.t.Helper()
	s.Eventually(20*time.Second, "containerd", func() error {
		_, err := s.Try(20*time.Second, s.Bin, "image", "own", "--address", s.p.Socket)
		return err
	})
	s.LoadImages()
}

func (s *separate) apiserverFlags() []string {
	l := s.l
	return []string{
		"--etcd-servers=https://127.0.0.1:2379", "--etcd-cafile=" + l.Cert(pki.NameEtcdCA), "--etcd-certfile=" + l.Cert(pki.NameAPIServerEtcdClient),
		"--etcd-keyfile=" + l.Key(pki.NameAPIServerEtcdClient), "--encryption-provider-config=" + s.encryption(), "--advertise-address=" + s.Addr, "--secure-port=6443", "--allow-privileged=true",
		"--authorization-mode=Node,RBAC", "--client-ca-file=" + l.Cert(pki.NameCA), "--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate=" + l.Cert(pki.NameKubeletClient), "--kubelet-client-key=" + l.Key(pki.NameKubeletClient),
		"--kubelet-certificate-authority=" + l.Cert(pki.NameCA), "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--requestheader-allowed-names=front-proxy-client", "--requestheader-client-ca-file=" + l.Cert(pki.NameFrontProxyCA),
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--service-account-key-file=" + l.ServiceAccountPub(),
		"--service-account-signing-key-file=" + l.ServiceAccountKey(), "--service-cluster-ip-range=" + rolesService,
		"--tls-cert-file=" + l.Cert(pki.NameAPIServer), "--tls-private-key-file=" + l.Key(pki.NameAPIServer), "--audit-log-path=" + s.p.Audit,
	}
}

// forbidden finds what a role has no right to. All roles are started at once, so the lease may
// be asked for before the API server has made the rights of roles; that is told and passes.
func forbidden(log string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "forbidden") && !(strings.Contains(line, "holding the lease") && strings.Contains(log, "took the lease")) {
			return true
		}
	}
	return false
}

// encryption is a configuration that keeps secrets unreadable in etcd.
func (s *separate) encryption() string {
	s.t.Helper()
	_, err := seal.Load(s.p.EncryptionConfig)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = seal.Create(s.p.EncryptionConfig, "secrets")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.p.EncryptionConfig
}

func (s *separate) kubeletConfig() string {
	return s.file("kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true, cacheTTL: 0s}, x509: {clientCAFile: %q}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: %q
clusterDNS: [10.97.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: "unix://%s"
healthzPort: 10248
failSwapOn: false
maxPods: 50
podLogsDir: %q
staticPodPath: ""
tlsCertFile: %q
tlsPrivateKeyFile: %q
logging: {flushFrequency: 0, verbosity: 0}
shutdownGracePeriod: 0s
`, s.l.Cert(pki.NameCA), s.p.CgroupRoot(), s.p.Socket, s.p.PodLogs, s.l.Cert(pki.KubeletName(rolesNode)), s.l.Key(pki.KubeletName(rolesNode))))
}

// walk is the journey: a Deployment, its Service, the Service's address, a log.
func (s *separate) walk() {
	t := s.t
	s.Eventually(30*time.Second, "API", func() error {
		_, err := s.TryKubectl("get", "--raw", "/readyz")
		return err
	})
	s.Eventually(20*time.Second, "node", func() error {
		out, err := s.TryKubectl("get", "nodes", "-L", "disk")
		if err == nil && (!strings.Contains(out, " Ready ") || !strings.Contains(out, "fast")) {
			err = errors.New(out)
		}
		return err
	})
	s.Kubectl("create", "deployment", "web", "--image="+nginx+"v1", "--replicas=2")
	s.Kubectl("expose", "deployment", "web", "--port=80")
	s.Kubectl("rollout", "status", "deployment/web", "--timeout=30s")
	ip := strings.TrimSpace(s.Kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"))
	s.Eventually(10*time.Second, "the service's answer", func() error {
		page, err := s.Curl("http://" + ip)
		if err == nil && !strings.Contains(page, "version v1") {
			err = errors.New(page)
		}
		return err
	})
	if out := s.Kubectl("logs", "deployment/web"); !strings.Contains(out, "worker process") {
		t.Errorf("logs through the API server: %q", out)
	}
	s.Kubectl("apply", "-f", s.file("token.yaml", "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, "+
		"metadata: {name: old, annotations: {kubernetes.io/service-account.name: default}}}"))
	s.Eventually(10*time.Second, "a legacy token", func() error {
		if out := s.Kubectl("get", "secret", "old", "-o", "jsonpath={.data.token}"); len(out) < 100 {
			return errors.New("not there")
		}
		return nil
	})
}

// ports: health is for everybody, metrics are for those who may.
func (s *separate) ports() {
	token := strings.TrimSpace(s.Kubectl("create", "token", "default"))
	s.Kubectl("create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics")
	for port, metric := range map[string]string{"10257": "workqueue_", "10259": "scheduler_schedule_attempts_total"} {
		url := "https://127.0.0.1:" + port
		if out, err := s.Try(10*time.Second, "curl", "-sSk", url+"/healthz"); err != nil || out != "ok" {
			s.t.Errorf("%s/healthz: %q, %v", url, out, err)
		}
		status := func(header string) string {
			out, err := s.Try(10*time.Second, "curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, url+"/metrics")
			if err != nil {
				s.t.Error(err)
			}
			return out
		}
		if got := status("X-None: 1"); got != "401" {
			s.t.Errorf("%s/metrics without a token: %s", url, got)
		}
		if got := status("Authorization: Bearer " + token); got != "403" {
			s.t.Errorf("%s/metrics of one who may not: %s", url, got)
		}
		defer func() {
			out, err := s.Try(10*time.Second, "curl", "-sSk", "-H", "Authorization: Bearer "+token, url+"/metrics")
			if err != nil || !strings.Contains(out, metric) {
				s.t.Errorf("%s/metrics: no %s, %v", url, metric, err)
			}
		}()
	}
	s.Kubectl("create", "clusterrolebinding", "metrics", "--clusterrole=metrics", "--serviceaccount=default:default")
	for role, metrics := range map[string]func() (string, error){
		"API server": func() (string, error) { return s.TryKubectl("get", "--raw", "/metrics") },
		"kubelet": func() (string, error) {
			return s.TryKubectl("get", "--raw", "/api/v1/nodes/"+rolesNode+"/proxy/metrics")
		},
		"proxy": func() (string, error) { return s.Try(10*time.Second, "curl", "-sS", "http://127.0.0.1:10249/metrics") },
	} {
		if out, err := metrics(); err != nil || !strings.Contains(out, "\nprocess_resident_memory_bytes") || !strings.Contains(out, "\ngo_goroutines") {
			s.t.Errorf("metrics of the %s say nothing of its process: %v", role, err)
		}
	}
	if out, err := s.Try(10*time.Second, "curl", "-sS", "http://127.0.0.1:10248/healthz"); err != nil || out != "ok" {
		s.t.Errorf("the kubelet's health: %q, %v", out, err)
	}
	if out, err := s.Try(10*time.Second, "curl", "-sS", "http://127.0.0.1:10256/healthz"); err != nil || !strings.Contains(out, "lastUpdated") {
		s.t.Errorf("the proxy's health: %q, %v", out, err)
	}
}

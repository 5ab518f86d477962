// Package e2e walks the journeys of a user on real clusters: the real binary,
// etcd, containers and packets, each on a host made of namespaces. They need
// root, what `make build images` makes, and about two minutes.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyperkube/test/harness"
)

// client is one of the kubectls a journey is walked with.
type client struct {
	*harness.Cluster
	t   *testing.T
	bin []string
}

func (k *client) try(args ...string) (string, error) {
	return k.Try(90*time.Second, append(append(append([]string{}, k.bin...), "--kubeconfig", k.Kubeconfig), args...)...)
}

// ok runs kubectl and fails the test if it fails.
func (k *client) ok(args ...string) string {
	k.t.Helper()
	out, err := k.try(args...)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// says runs kubectl and wants the words in its output.
func (k *client) says(words string, args ...string) string {
	k.t.Helper()
	out := k.ok(args...)
	for w := range strings.SplitSeq(words, "|") {
		if !strings.Contains(out, w) {
			k.t.Fatalf("kubectl %s does not say %q:\n%s", strings.Join(args, " "), w, out)
		}
	}
	return out
}

// fails runs kubectl, wants it to fail, and wants the words in what it says.
func (k *client) fails(words string, args ...string) {
	k.t.Helper()
	out, err := k.try(args...)
	if err == nil {
		k.t.Fatalf("kubectl %s did not fail:\n%s", strings.Join(args, " "), out)
	}
	for w := range strings.SplitSeq(words, "|") {
		if !strings.Contains(err.Error(), w) {
			k.t.Errorf("kubectl %s does not say %q:\n%v", strings.Join(args, " "), w, err)
		}
	}
}

func (k *client) write(name, text string) string {
	k.t.Helper()
	path := filepath.Join(k.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return path
}

// oldKubectl is a stock client five minor versions behind.
func oldKubectl(t *testing.T) string {
	t.Helper()
	path := os.Getenv("HYPERKUBE_OLD_KUBECTL")
	if path == "" {
		path = filepath.Join("..", "..", "build", "oldkubectl")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build/oldkubectl` first", err)
	}
	return path
}

func TestJourney(t *testing.T) {
	c := harness.Up(t)
	for _, k := range []struct {
		name string
		bin  []string
	}{
		{"own kubectl", []string{c.Bin, "kubectl"}},
		{"stock kubectl 1.32", []string{oldKubectl(t)}},
	} {
		t.Run(k.name, func(t *testing.T) { walk(&client{c, t, k.bin}) })
	}
}

const nginx = "hyperkube.test/nginx:"

func walk(k *client) {
	k.says("Ready|v1.37|192.0.2.10", "get", "nodes", "-o", "wide")
	k.ok("create", "deployment", "nginx", "--image="+nginx+"v1", "--replicas=3")
	k.ok("expose", "deployment", "nginx", "--port=80")
	k.says("successfully rolled out", "rollout", "status", "deployment/nginx", "--timeout=60s")
	k.says("pod/nginx-|service/nginx|deployment.apps/nginx|3/3|replicaset.apps/nginx-|CONTAINERS|app=nginx", "get", "all", "-o", "wide")
	ip := k.ok("get", "service", "nginx", "-o", "jsonpath={.spec.clusterIP}")
	page, err := k.Curl("http://" + ip)
	if err != nil || !strings.Contains(page, "version v1") {
		k.t.Fatalf("the service from the host: %q, %v", page, err)
	}
	k.ok("run", "client", "--image=hyperkube.test/busybox:v1", "--restart=Never", "--command", "--", "sleep", "3600")
	k.ok("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
	k.says("version v1", "exec", "client", "--", "wget", "-qO-", "http://nginx")
	k.insidePods()
	k.rollouts(ip)
	k.documents()
	k.ok("delete", "deployment,service", "nginx")
	k.ok("delete", "pod", "client", "--grace-period=1")
	k.Eventually(time.Minute, "pods gone", func() error {
		if out, err := k.try("get", "pods", "-o", "name"); err != nil || strings.TrimSpace(out) != "" {
			return fmt.Errorf("%s %v", out, err)
		}
		return nil
	})
}

// insidePods: logs, exec, cp, port-forward, describe.
func (k *client) insidePods() {
	t := k.t
	t.Helper()
	pod := strings.TrimSpace(strings.Split(k.ok("get", "pods", "-l", "app=nginx", "-o", "name"), "\n")[0])
	name := strings.TrimPrefix(pod, "pod/")
	k.says("start worker process", "logs", pod)
	k.says(name, "exec", pod, "--", "hostname")
	// script gives kubectl the terminal that -t wants.
	out := k.Run(30*time.Second, "script", "-qec", strings.Join(append(append([]string{}, k.bin...), "--kubeconfig", k.Kubeconfig, "exec", "-it", pod, "--", "tty"), " "), "/dev/null")
	if !strings.Contains(out, "/dev/pts/") {
		t.Errorf("exec -it gave no terminal: %q", out)
	}
	file := k.write("copied", "carried over\n")
	k.ok("cp", file, name+":/tmp/copied")
	k.ok("cp", name+":/tmp/copied", file+".back")
	if b, err := os.ReadFile(file + ".back"); err != nil || string(b) != "carried over\n" {
		t.Errorf("cp there and back: %q, %v", b, err)
	}
	k.follow(pod)
	k.forward(pod)
	k.says("Status:|Running|Successfully assigned|Started|Node:|IP:|Image:", "describe", pod)
	k.says("Capacity:|Allocatable:|PodCIDR|Non-terminated Pods", "describe", "nodes")
	k.says("Endpoints:", "describe", "service", "nginx")
}

// follow: logs -f shows a line that is written after it began.
func (k *client) follow(pod string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.Context, 30*time.Second)
	defer cancel()
	cmd := k.Command(ctx, append(append([]string{}, k.bin...), "--kubeconfig", k.Kubeconfig, "logs", "-f", "--tail=1", pod)...)
	lines := k.lines(cmd)
	ip := k.ok("get", pod, "-o", "jsonpath={.status.podIP}")
	k.Eventually(20*time.Second, "the request in the followed log", func() error {
		if _, err := k.Curl("http://" + ip + "/followed"); err == nil {
			return fmt.Errorf("no page is called followed")
		}
		return lines.has("GET /followed")
	})
	cancel()
	lines.wait()
}

func (k *client) forward(pod string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.Context, 30*time.Second)
	defer cancel()
	cmd := k.Command(ctx, append(append([]string{}, k.bin...), "--kubeconfig", k.Kubeconfig, "port-forward", pod, "18080:80")...)
	lines := k.lines(cmd)
	k.Eventually(20*time.Second, "port-forward", func() error {
		page, err := k.Curl("http://127.0.0.1:18080/healthz")
		if err == nil && page != "ok" {
			err = fmt.Errorf("said %q", page)
		}
		return err
	})
	cancel()
	lines.wait()
}

// rollouts: scale, rolling update and undo while somebody asks all the time.
func (k *client) rollouts(ip string) {
	t := k.t
	t.Helper()
	load := k.load("http://" + ip + "/healthz")
	k.ok("scale", "deployment/nginx", "--replicas=5")
	k.ok("rollout", "status", "deployment/nginx", "--timeout=60s")
	k.ok("set", "image", "deployment/nginx", "nginx="+nginx+"v2")
	k.says("successfully rolled out", "rollout", "status", "deployment/nginx", "--timeout=90s")
	if page, err := k.Curl("http://" + ip); err != nil || !strings.Contains(page, "version v2") {
		t.Errorf("after the update: %q, %v", page, err)
	}
	k.ok("rollout", "undo", "deployment/nginx")
	k.says("successfully rolled out", "rollout", "status", "deployment/nginx", "--timeout=90s")
	k.ok("scale", "deployment/nginx", "--replicas=2")
	asked, failed := load.stop()
	if asked < 50 || len(failed) > 0 {
		t.Errorf("%d requests during the rollouts, failed: %v", asked, failed)
	}
	k.says("REVISION", "rollout", "history", "deployment/nginx")
}

const documents = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: hyperkube.test/nginx:v1
        envFrom: [{configMapRef: {name: settings}}]
        readinessProbe: {httpGet: {path: /healthz, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, nodePort: 30080}]
`

// documents: apply, diff, server-side apply, explain, can-i, wait, delete -f.
func (k *client) documents() {
	k.t.Helper()
	file := k.write("docs.yaml", documents)
	k.says("configmap/settings created|deployment.apps/web created|service/web created", "apply", "-f", file)
	k.says("configmap/settings unchanged|deployment.apps/web unchanged", "apply", "-f", file)
	k.ok("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
	k.says("colour=blue", "exec", "deployment/web", "--", "env")
	k.Eventually(10*time.Second, "node port", func() error {
		_, err := k.Curl("http://192.0.2.10:30080/healthz")
		return err
	})
	changed := k.write("changed.yaml", strings.Replace(documents, "colour: blue", "colour: red", 1))
	k.fails("-  colour: blue|+  colour: red", "diff", "-f", changed)
	k.says("serverside-applied", "apply", "--server-side", "--force-conflicts", "-f", changed)
	k.says("red", "get", "configmap", "settings", "-o", "yaml")
	k.says("DeploymentStrategy|rollingUpdate|RollingUpdate", "explain", "deployment.spec.strategy")
	k.says("yes", "auth", "can-i", "create", "deployments")
	k.fails("no", "auth", "can-i", "get", "secrets", "--as=system:serviceaccount:default:default")
	k.says("deleted", "delete", "-f", changed, "--timeout=60s")
}

// TestVersion: both clients agree with the server about what it is.
func TestClientVersion(t *testing.T) {
	out, err := exec.Command(oldKubectl(t), "version", "--client").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v1.32.") {
		t.Fatalf("the old client is not one: %s %v", out, err)
	}
}
